"""Metadata of a message that a column can read: what its broker, request or file says about it.

A message's metadata is one JSON object, ``_metadata``, whose members are those that the table's
columns read. Only tables with such a column have it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from ingestion.ddl.spec import ColumnSpec

#: The column of the inbox and of the quarantine that holds the metadata, as JSON text.
METADATA = "_metadata"
#: Properties of AMQP 0-9-1's basic class.
PROPERTIES = (
    *("message_id", "app_id", "timestamp", "content_type", "content_encoding", "correlation_id"),
    *("type", "reply_to", "user_id", "priority", "expiration", "delivery_mode"),
)
#: Metadata without a name of its own.
PLAIN = ("key", "topic", "partition", "offset", "timestamp", "routing_key", "file", "row")
HEADER, PROPERTY = "header:", "property:"
RIGHT = f"Write one of {', '.join(PLAIN)}, {HEADER}NAME, or {PROPERTY}NAME"
#: Headers that prove who sends. A table is no place for them, whichever broker brings them.
_SECRET = re.compile(
    r"(proxy-)?authorization|(set-)?cookie2?|x-(api-key|auth-token|csrf-?token|xsrf-token)"
    r"|x-amz-security-token|api-key|sec-websocket-key",
    re.IGNORECASE,
)


def problem_of(name: str) -> str:
    """What is wrong with the name of metadata; empty if it can be read."""
    if name in PLAIN or name in {f"{PROPERTY}{one}" for one in PROPERTIES}:
        return ""
    if name.startswith(PROPERTY):
        known = ", ".join(PROPERTIES)
        return f"{name} is no property of a RabbitMQ message. Properties: {known}."
    if name.startswith(HEADER) and name != HEADER:
        return _problem_of_header(name.removeprefix(HEADER))
    return f"{name} is no metadata. {RIGHT}."


def _problem_of_header(header: str) -> str:
    if not header.isprintable() or header != header.strip():
        return f"{HEADER}NAME takes a name of printable characters, without blanks around it."
    if _SECRET.fullmatch(header):
        return f"The header {header} holds a secret, so no column can read it."
    return ""


def wanted(columns: Iterable[ColumnSpec]) -> tuple[str, ...]:
    """The names of the metadata that the columns read, each once; empty for most tables."""
    return tuple(dict.fromkeys(one.metadata for one in columns if one.metadata))


def of_message(columns: Iterable[ColumnSpec]) -> tuple[ColumnSpec, ...]:
    """The columns that read the message itself."""
    return tuple(one for one in columns if not (one.metadata or one.expression))


def carried(columns: Iterable[ColumnSpec]) -> dict[str, str]:
    """What an inbox and the quarantine have of a message beside its origin, with the types."""
    more = {METADATA: "String"} if wanted(columns) else {}
    return {"_key": "String", "raw": "String", **more}
