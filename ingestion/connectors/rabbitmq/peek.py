"""Looks at the messages of a queue, which has no offsets to read them by."""

from __future__ import annotations

from typing import Any

import kombu
from amqp.exceptions import AMQPNotImplementedError

from ingestion.connectors.rabbitmq.delivery import Delivery, of_message

#: The most bytes of bodies that are held back at a time.
_BYTES = 16 << 20


def counts_deliveries(link: kombu.Connection, queue: str) -> bool:
    """Whether it is a quorum queue; raises the client's errors. ``link`` can't be used after it.

    Such a queue drops a message that was delivered too often, so no look is without effect. AMQP
    does not name a queue's type. But a quorum queue refuses a prefetch limit of a whole channel.
    """
    channel: Any = link.channel()
    try:
        channel.basic_qos(0, 1, True)
        channel.basic_consume(queue, callback=lambda _: None)
    except AMQPNotImplementedError:
        return True
    return False


def taken(link: kombu.Connection, queue: str, limit: int) -> list[Delivery]:
    """The oldest messages, which the queue has back when this returns; raises the client's errors.

    Closing the channel returns what was not acknowledged, also if this process dies before.
    """
    channel: Any = link.channel()
    channel.auto_decode = False
    found: list[Delivery] = []
    size = 0
    try:
        while len(found) < limit and size < _BYTES:
            message = channel.basic_get(queue, no_ack=False)
            if message is None:
                break
            delivery = of_message(message)
            found.append(delivery)
            size += len(delivery.body)
    finally:
        if channel.connection is not None:
            channel.close()
    return found
