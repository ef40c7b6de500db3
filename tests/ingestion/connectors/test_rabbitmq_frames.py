"""Deliveries out of the socket's bytes, however the network cuts them."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from typing import Any

import kombu
import pytest

from ingestion.connectors.rabbitmq.consumer import QueueConsumer
from ingestion.connectors.rabbitmq.delivery import Delivery
from tests.ingestion.conftest import RabbitQueue

Queue = Callable[..., RabbitQueue]

#: RabbitMQ's frames: at most 128 KiB with their head and end.
FRAME = 131_072 - 8
BODIES = [b"", b"x", b"{}", b"\xce" * 50, b"y" * FRAME, b"z" * (FRAME + 1), b"a" * 700_000, b"end"]


@pytest.fixture
def link(rabbitmq_broker: str) -> Iterator[Any]:
    with kombu.Connection(rabbitmq_broker, heartbeat=2) as opened:
        opened.ensure_connection(max_retries=1)
        yield opened


class CutShort:
    """A socket that gives at most ``size`` bytes at a time."""

    def __init__(self, socket: Any, size: int) -> None:
        self._socket, self._size = socket, size

    def recv(self, wanted: int) -> Any:
        return self._socket.recv(min(wanted, self._size))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._socket, name)


def _received(consumer: QueueConsumer, count: int) -> list[Delivery]:
    found: list[Delivery] = []
    deadline = time.monotonic() + 120
    while len(found) < count and time.monotonic() < deadline:
        found += consumer.receive(count - len(found), 0.05)
    return found


def _send(
    queue: RabbitQueue, body: bytes, headers: dict[str, Any] | None = None, **properties: Any
) -> None:
    message = queue.channel.prepare_message(body, headers=headers, properties=properties)
    queue.channel.basic_publish(message, exchange="", routing_key=queue.name)


@pytest.mark.parametrize("size", [1_000_000, 4096, 61, 7])
def test_bodies_of_any_size_come_whole_and_in_order(queue: Queue, link: Any, size: int) -> None:
    stream = queue()
    bodies = BODIES if size > 1000 else [one for one in BODIES if len(one) < 100]
    for number, body in enumerate(bodies):
        _send(stream, body, message_id=f"id-{number}")
    consumer = QueueConsumer(link, stream.name, 0, 100)
    link.connection.transport.sock = CutShort(link.connection.transport.sock, size)

    found = _received(consumer, len(bodies))

    assert [one.body for one in found] == bodies
    assert [one.message_id for one in found] == [f"id-{n}" for n in range(len(bodies))]
    assert [one.tag for one in found] == list(range(1, len(bodies) + 1))
    assert {one.key for one in found} == {stream.name.encode()}


def test_properties_are_those_that_the_sender_gave(queue: Queue, link: Any) -> None:
    stream = queue()
    _send(stream, b"1", message_id="a", timestamp=1_700_000_000, headers={"h": [1]})
    _send(stream, b"2")
    _send(stream, b"3", timestamp=2**64 - 1)

    full, bare, absurd = _received(QueueConsumer(link, stream.name, 0, 100), 3)

    assert (full.message_id, full.given, full.timestamp) == ("a", True, 1_700_000_000_000)
    hashed = hashlib.blake2b(b"2", digest_size=16).hexdigest()
    assert (bare.message_id, bare.given, bare.timestamp) == (hashed, False, None)
    assert absurd.timestamp is None


def test_what_was_not_acknowledged_comes_again_and_says_so(queue: Queue, link: Any) -> None:
    stream = queue()
    stream.send([b"1", b"2"])
    first = QueueConsumer(link, stream.name, 0, 100)
    assert [one.redelivered for one in _received(first, 2)] == [False, False]
    first.channel.close()

    again = _received(QueueConsumer(link, stream.name, 0, 100), 2)

    assert [(one.body, one.redelivered) for one in again] == [(b"1", True), (b"2", True)]


def test_an_answer_waited_for_amid_deliveries_loses_none(queue: Queue, link: Any) -> None:
    stream = queue()
    bodies = [b"%d" % number for number in range(2_000)]
    stream.send(bodies)
    consumer = QueueConsumer(link, stream.name, 0, 5_000)
    link.connection.transport.sock = CutShort(link.connection.transport.sock, 1_001)

    found: list[Delivery] = []
    while len(found) < len(bodies):
        found += consumer.receive(100, 0.05)
        consumer.ready(stream.name)

    assert [one.body for one in found] == bodies


def test_deliveries_alone_keep_a_connection_alive(queue: Queue, link: Any) -> None:
    """Where the broker delivers it sends no heartbeat, and py-amqp counts what it reads itself."""
    stream = queue()
    consumer = QueueConsumer(link, stream.name, 0, 1_000)
    before = link.connection.bytes_recv
    stream.send([b"%d" % number for number in range(50)])
    _received(consumer, 50)

    assert link.connection.bytes_recv - before >= 150


def test_a_broker_that_closes_is_an_error(queue: Queue, link: Any) -> None:
    consumer = QueueConsumer(link, queue().name, 0, 100)
    link.connection.transport.sock.shutdown(0)

    with pytest.raises(OSError, match="closed"):
        consumer.receive(1, 1.0)
