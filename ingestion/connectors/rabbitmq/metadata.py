"""What a RabbitMQ message says about itself, for columns that read it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ingestion.connectors.metadata_json import moment, written
from ingestion.ddl.metadata import HEADER, PROPERTY

#: The header in which a stream delivers a message's offset.
OFFSET = "x-stream-offset"


def metadata(key: bytes, properties: Mapping[str, Any], names: Sequence[str]) -> bytes:
    """The metadata of a message with the routing key ``key``: what RabbitMQ has of ``names``.

    A queue numbers no message, so only a stream has offsets.
    """
    return written({name: _value(key, properties, name) for name in names})


def _value(key: bytes, properties: Mapping[str, Any], name: str) -> Any:
    headers = properties.get("application_headers") or {}
    if name.startswith(HEADER):
        return headers.get(name.removeprefix(HEADER))
    if name in ("timestamp", f"{PROPERTY}timestamp"):
        at = properties.get("timestamp")
        return moment(None if at is None else at * 1000)
    if name.startswith(PROPERTY):
        return properties.get(name.removeprefix(PROPERTY))
    return {"routing_key": key, "offset": headers.get(OFFSET)}.get(name)
