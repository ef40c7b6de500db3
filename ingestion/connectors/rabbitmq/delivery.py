"""A delivered message, taken apart as far as the inbox needs."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from amqp import Message

from ingestion.connectors.redelivery import Delivered


@dataclass(frozen=True, slots=True)
class Delivery:
    """``offset`` is a stream's; None from a queue. ``timestamp`` is in ms; None without one."""

    tag: int
    body: bytes
    key: bytes
    offset: int | None
    timestamp: int | None
    delivered: Delivered


def delivery(message: Message) -> Delivery:
    """What RabbitMQ delivered; an id is made of the body where the sender gave none."""
    properties, info = message.properties, message.delivery_info
    body = message.body if isinstance(message.body, bytes) else bytes(message.body, "utf-8")
    given = properties.get("message_id")
    at = properties.get("timestamp")
    return Delivery(
        tag=info["delivery_tag"],
        body=body,
        key=info["routing_key"].encode(),
        offset=(message.headers or {}).get("x-stream-offset"),
        timestamp=None if at is None else int(at.timestamp() * 1000),
        delivered=Delivered(
            message_id=given or hashlib.blake2b(body, digest_size=16).hexdigest(),
            given=bool(given),
            redelivered=bool(info.get("redelivered")),
        ),
    )
