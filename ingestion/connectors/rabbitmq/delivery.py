"""A delivered message, taken apart as far as the inbox needs."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, NamedTuple

from amqp import Message

#: Seconds since 1970 at which DateTime64's years end. No sender means a time beyond it.
_LAST_TIME = 10_413_791_999


class Delivery(NamedTuple):
    """``offset`` is a stream's; None from a queue. ``timestamp`` is in ms; None without one.

    ``given``: the sender named the id; otherwise it is a hash of the body.
    """

    tag: int
    body: bytes
    key: bytes
    offset: int | None
    timestamp: int | None
    message_id: str
    given: bool
    redelivered: bool


def delivery(
    tag: int, body: bytes, key: bytes, properties: Mapping[str, Any], redelivered: bool
) -> Delivery:
    """What RabbitMQ delivered; an id is made of the body where the sender gave none."""
    given = properties.get("message_id")
    headers = properties.get("application_headers")
    at = properties.get("timestamp")
    return Delivery(
        tag,
        body,
        key,
        headers.get("x-stream-offset") if headers else None,
        at * 1000 if at is not None and at <= _LAST_TIME else None,
        given or hashlib.blake2b(body, digest_size=16).hexdigest(),
        bool(given),
        redelivered,
    )


def of_message(message: Message) -> Delivery:
    """A delivery that py-amqp has read."""
    info = message.delivery_info
    body = message.body if isinstance(message.body, bytes) else bytes(message.body, "utf-8")
    return delivery(
        info["delivery_tag"],
        body,
        info["routing_key"].encode(),
        message.properties,
        bool(info.get("redelivered")),
    )
