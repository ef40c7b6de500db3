"""A channel and a consumer of RabbitMQ that record what they are told, without a broker."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from amqp.exceptions import NotFound, PreconditionFailed

from ingestion.connectors.rabbitmq.delivery import Delivery


def delivered(tag: int, body: bytes = b"{}", **fields: Any) -> Delivery:
    """A delivery of a queue, whose sender has set an id."""
    plain: dict[str, Any] = {
        "key": b"k",
        "offset": None,
        "timestamp": 1_700_000_000_000,
        "message_id": f"id-{tag}",
        "given": True,
        "redelivered": False,
    }
    return Delivery(tag, body, **(plain | fields))


@dataclass
class FakeChannel:
    """``failures``: what the next calls of ``basic_ack`` raise, one by one."""

    acks: list[tuple[int, bool]] = field(default_factory=list)
    failures: list[Exception] = field(default_factory=list)

    def basic_ack(self, tag: int, multiple: bool = False) -> None:
        if self.failures:
            raise self.failures.pop(0)
        self.acks.append((tag, multiple))


@dataclass
class FakeConsumer:
    """What a RabbitReader knows of its consumer. ``arrived``: what each ``receive`` returns."""

    is_stream: bool = False
    arrived: list[list[Delivery]] = field(default_factory=list)
    channel: FakeChannel = field(default_factory=FakeChannel)
    limits: list[int] = field(default_factory=list)
    failure: Exception | None = None

    def receive(self, limit: int, wait: float) -> list[Delivery]:
        self.limits.append(limit)
        if self.failure is not None:
            raise self.failure
        return self.arrived.pop(0) if self.arrived else []

    def has_arrived(self) -> bool:
        return bool(self.arrived)

    def ready(self, queue: str) -> int:
        if self.failure is not None:
            raise self.failure
        return 0

    keep_alive: Callable[[], None] = lambda: None


@dataclass
class Broker:
    """A broker with one queue, or a stream of these ``offsets``; ``link`` is a link to it.

    ``calls`` are those of all channels; ``closed`` counts the channels that were closed.
    ``count``: how many messages it says that are ready.
    """

    count: int = 0
    offsets: list[int] | None = None
    exists: bool = True
    at_time: list[int] = field(default_factory=list)
    calls: list[tuple[Any, ...]] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)
    closed: int = 0
    _pending: list[tuple[Callable[[Any], None], int]] = field(default_factory=list)

    @property
    def link(self) -> Any:
        return SimpleNamespace(
            channel=lambda: _Channel(self), as_uri=lambda: "amqp://b", drain_events=self._drain
        )

    def _drain(self, timeout: float) -> None:
        self.waits.append(timeout)
        if not self._pending:
            raise TimeoutError
        callback, offset = self._pending.pop(0)
        callback(SimpleNamespace(headers={"x-stream-offset": offset}))


class _Channel:
    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self.auto_decode = True
        self.channel_id = 1
        self.connection: Any = SimpleNamespace(connected=True, sock=None)

    def queue_declare(self, queue: str, passive: bool) -> Any:
        self._broker.calls.append(("declare", queue, passive))
        if not self._broker.exists:
            raise NotFound("no queue")
        return SimpleNamespace(message_count=self._broker.count)

    def basic_qos(self, size: int, count: int, everywhere: bool) -> None:
        self._broker.calls.append(("qos", size, count, everywhere))

    def basic_consume(
        self, queue: str, callback: Any, arguments: dict[str, Any], consumer_tag: str = ""
    ) -> None:
        self._broker.calls.append(("consume", queue, arguments))
        broker, start = self._broker, arguments.get("x-stream-offset")
        if broker.offsets is None and start is not None:
            raise PreconditionFailed("x-stream-offset")
        sent = {"first": broker.offsets, "last": broker.offsets}.get(str(start), broker.at_time)
        broker._pending = [(callback, offset) for offset in sent or []]

    def close(self) -> None:
        self._broker.closed += 1


def pair() -> tuple[socket.socket, socket.socket]:
    """Both ends of a connection."""
    return socket.socketpair()
