"""A delivered message, parsed as far as the inbox needs."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from amqp import Message

from ingestion.connectors.rabbitmq.metadata import OFFSET, metadata

#: The last second of DateTime64's range, since 1970. A later timestamp can't be a real time.
_LAST_TIME = 10_413_791_999


class Delivery(NamedTuple):
    """A delivery. ``offset``: None for a queue; ``timestamp``: in ms since 1970, None if not sent.

    ``given``: the sender set the message id; otherwise the id is a hash of the body.
    ``metadata``: what the table's columns read beside the body, as JSON; empty if they read none.
    """

    tag: int
    body: bytes
    key: bytes
    offset: int | None
    timestamp: int | None
    message_id: str
    given: bool
    redelivered: bool
    metadata: bytes = b""


def delivery(
    tag: int,
    body: bytes,
    key: bytes,
    properties: Mapping[str, Any],
    redelivered: bool,
    names: Sequence[str] = (),
) -> Delivery:
    """A Delivery from its parts; if the sender set no message id, the id is a hash of the body.

    ``names``: the metadata that the table's columns read.
    """
    given = properties.get("message_id")
    headers = properties.get("application_headers")
    at = properties.get("timestamp")
    return Delivery(
        tag,
        body,
        key,
        headers.get(OFFSET) if headers else None,
        at * 1000 if at is not None and at <= _LAST_TIME else None,
        given or hashlib.blake2b(body, digest_size=16).hexdigest(),
        bool(given),
        redelivered,
        metadata(key, properties, names) if names else b"",
    )


def of_message(message: Message, names: Sequence[str] = ()) -> Delivery:
    """A Delivery from a message that py-amqp has read."""
    info = message.delivery_info
    body = message.body if isinstance(message.body, bytes) else bytes(message.body, "utf-8")
    return delivery(
        info["delivery_tag"],
        body,
        info["routing_key"].encode(),
        message.properties,
        bool(info.get("redelivered")),
        names,
    )
