"""RabbitMQ's connector: whose error is whose, links that are closed, ranges that come complete."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import amqp.exceptions as amqp
import pytest

from ingestion.connectors.base import Watermarks
from ingestion.connectors.rabbitmq import connector
from ingestion.connectors.rabbitmq.connector import RabbitConnector
from ingestion.connectors.redelivery import Redelivery
from ingestion.errors import (
    BrokerUnreachable,
    CannotRepeat,
    OffsetsGone,
    Refused,
    StreamMissing,
)
from ingestion.models import Connection, Source
from tests.ingestion.connectors.rabbitmq.rabbitmq_fakes import FakeConsumer, delivered, pair


def source(pk: int = 1, stream: str = "orders") -> Source:
    return Source(pk=pk, stream=stream)


class FakeBroker:
    """What the connector knows of the broker: links, and answers that each test sets."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.links: list[Any] = []
        self.closed: list[Any] = []
        self.consumer: Any = FakeConsumer()
        self.consumed = 0
        self.failure: Exception | None = None
        self.marks: dict[str, Watermarks | Exception] = {}
        self.positions: dict[int, int | None] = {}
        self.asked: list[tuple[str, int]] = []
        self.first: int | None = None
        self.known: bool | None = None
        patch.setattr(connector, "connect", self._connect)
        patch.setattr(connector, "QueueConsumer", self._consume)
        patch.setattr(connector, "watermarks", self._watermarks)
        patch.setattr(connector, "first_offset", lambda *_: self.first)
        patch.setattr(connector, "is_queue", lambda *_: self.known is False)
        patch.setattr(connector, "is_stream", lambda *_: self.known is True)
        rows = SimpleNamespace(filter=lambda **_: self._partitions())
        patch.setattr(connector, "StreamPartition", SimpleNamespace(across_tenants=rows))

    def _connect(self, _: Connection) -> Any:
        link = SimpleNamespace(as_uri=lambda: "amqp://b")
        link.close = link.release = lambda: self.closed.append(link)
        self.links.append(link)
        return link

    def _consume(self, *_: Any) -> Any:
        self.consumed += 1
        if self.failure is not None:
            raise self.failure
        return self.consumer

    def _watermarks(self, _: Any, queue: str, position: int) -> Watermarks:
        self.asked.append((queue, position))
        found = self.marks[queue]
        if isinstance(found, Exception):
            raise found
        return found

    def _partitions(self) -> list[Any]:
        return [SimpleNamespace(source_id=pk, position=at) for pk, at in self.positions.items()]


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> FakeBroker:
    return FakeBroker(monkeypatch)


@pytest.fixture
def made(broker: FakeBroker) -> RabbitConnector:
    return RabbitConnector(Connection(name="r", kind="rabbitmq", addresses="b:5672"))


# --- Measuring ----------------------------------------------------------------------------------


def test_each_queue_is_measured_from_its_position_on(
    broker: FakeBroker, made: RabbitConnector
) -> None:
    broker.marks = {"a": Watermarks(0, 12), "b": Watermarks(3, 5), "c": Watermarks(0, 0)}
    broker.positions = {1: 7, 2: None}
    sources = [source(1, "a"), source(2, "b"), source(3, "c")]
    assert made.measure(sources) == {
        1: {0: Watermarks(0, 12)},
        2: {0: Watermarks(3, 5)},
        3: {0: Watermarks(0, 0)},
    }
    assert broker.asked == [("a", 7), ("b", 0), ("c", 0)]
    assert len(broker.links) == 1


def test_a_queue_that_fails_alone_hurts_no_other(broker: FakeBroker, made: RabbitConnector) -> None:
    broker.marks = {"a": amqp.NotFound("no queue"), "b": Watermarks(0, 1)}
    measured = made.measure([source(1, "a"), source(2, "b")])
    assert isinstance(measured[1], StreamMissing)
    assert measured[2] == {0: Watermarks(0, 1)}


def test_a_broker_that_is_away_is_away_for_all(broker: FakeBroker, made: RabbitConnector) -> None:
    broker.marks = {"a": OSError("reset"), "b": Watermarks(0, 1)}
    with pytest.raises(BrokerUnreachable):
        made.measure([source(1, "a"), source(2, "b")])


def test_a_wrong_prefetch_is_said_when_measuring(broker: FakeBroker, made: RabbitConnector) -> None:
    made._connection.options = {"prefetch": 0}
    error = made.measure([source()])[1]
    assert isinstance(error, Refused)
    assert "sets prefetch to 0" in str(error)
    assert broker.links == []


# --- Opening, waiting, closing ------------------------------------------------------------------


def test_a_reader_begins_at_the_position_and_has_a_link_of_its_own(
    broker: FakeBroker, made: RabbitConnector
) -> None:
    reader = made.open(source(), {0: 7}, Redelivery())
    broker.consumer.arrived = [[delivered(1)]]
    assert [chunk.to_offset for chunk in reader.poll(10)] == [8]
    made.open(source(2, "b"), {0: 0}, Redelivery())
    assert len(broker.links) == 2
    assert broker.closed == []


@pytest.mark.parametrize("failure", [amqp.AccessRefused("in exclusive use"), OSError("reset")])
def test_a_queue_that_can_not_be_opened_leaves_no_link_behind(
    failure: Exception, broker: FakeBroker, made: RabbitConnector
) -> None:
    """It is tried again and again, and each link costs the broker and us a file descriptor."""
    broker.failure = failure
    with pytest.raises((Refused, BrokerUnreachable)):
        made.open(source(), {0: 0}, Redelivery())
    assert broker.closed == broker.links
    assert len(broker.links) == 1


def test_a_wait_is_for_all_readers_that_are_open(broker: FakeBroker, made: RabbitConnector) -> None:
    sockets = [pair(), pair()]
    for ours, _ in sockets:
        broker.consumer = FakeConsumer()
        broker.consumer.socket, broker.consumer.has_buffered = ours, lambda: False
        made.open(source(), {0: 0}, Redelivery())
    first, second = made._readers
    assert not made.wait(0.0)
    sockets[0][1].send(b"x")
    sockets[1][1].send(b"x")
    assert made.wait(60.0)
    first.close()
    assert made.wait(60.0)
    second.close()
    assert not made.wait(0.0)
    for both in sockets:
        for one in both:
            one.close()


def test_what_the_socket_does_not_show_ends_a_wait_at_once(
    broker: FakeBroker, made: RabbitConnector
) -> None:
    # Without a socket there would be nothing to wait on.
    broker.consumer.socket, broker.consumer.has_buffered = None, lambda: True
    made.open(source(), {0: 0}, Redelivery())
    assert made.wait(60.0)


def test_only_a_link_that_was_made_is_released(broker: FakeBroker, made: RabbitConnector) -> None:
    made.close()
    assert broker.links == []
    broker.marks = {"orders": Watermarks(0, 1)}
    made.measure([source()])
    made.close()
    assert broker.closed == broker.links


# --- Reading a range again ----------------------------------------------------------------------


def stream(*numbers: int) -> list[Any]:
    return [delivered(1_000 + number, b"%d" % number, offset=number) for number in numbers]


def repeated(made: RabbitConnector, start: int, end: int) -> tuple[list[int], int]:
    """The offsets that come again, and where reading would continue."""
    chunks = list(made.repeat(source(), 0, start, end))
    offsets = [at for chunk in chunks for at in chunk.rows["_offset"].to_pylist()]
    return offsets, chunks[-1].to_offset if chunks else start


@pytest.fixture
def log(broker: FakeBroker) -> Any:
    """The consumer of a stream."""
    broker.consumer.is_stream = True
    return broker.consumer


def test_a_range_is_cut_out_of_the_chunks_of_the_log(
    log: Any, broker: FakeBroker, made: RabbitConnector
) -> None:
    log.arrived = [stream(1, 2, 3), [], stream(4, 5, 6, 7), stream(8)]
    assert repeated(made, 2, 6) == ([2, 3, 4, 5], 6)
    assert len(log.arrived) == 1  # the end was reached
    assert log.channel.acks == [(1_003, True), (1_007, True)]
    assert broker.closed == broker.links


def test_a_hole_at_the_end_of_a_range_is_no_reason_to_wait(log: Any, made: RabbitConnector) -> None:
    log.arrived = [stream(2, 3), stream(9)]
    assert repeated(made, 2, 6) == ([2, 3], 4)


def test_what_comes_twice_is_read_once(log: Any, made: RabbitConnector) -> None:
    log.arrived = [stream(2, 3), stream(3, 4, 5)]
    assert repeated(made, 2, 6)[0] == [2, 3, 4, 5]


def test_an_empty_range_asks_for_nothing(log: Any, made: RabbitConnector) -> None:
    assert repeated(made, 4, 4) == ([], 4)
    assert log.limits == []


def test_part_of_a_range_that_does_not_come_is_no_end_of_it(
    log: Any, broker: FakeBroker, made: RabbitConnector, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([0.0, 15.0, 30.0, 36.0])  # begun; delivered; silent, but not for long; too long
    monkeypatch.setattr(connector, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    log.arrived = [stream(2, 3)]
    found = made.repeat(source(), 0, 2, 6)
    assert next(found).to_offset == 4
    with pytest.raises(BrokerUnreachable, match="offsets 4 to 5 for 20 s"):
        next(found)
    assert next(clock, None) is None
    assert broker.closed == broker.links


@pytest.mark.parametrize(("first", "is_gone"), [(4, True), (3, False), (None, False)])
def test_offsets_that_the_broker_has_deleted_are_said(
    first: int | None, is_gone: bool, log: Any, broker: FakeBroker, made: RabbitConnector
) -> None:
    broker.first = first
    log.arrived = [stream(3, 4)]
    if not is_gone:
        assert repeated(made, 3, 5) == ([3, 4], 5)
        return
    with pytest.raises(OffsetsGone, match="offsets 3 to 3") as raised:
        repeated(made, 3, 5)
    assert raised.value.low == 4
    assert broker.closed == broker.links


@pytest.mark.parametrize("known", [False, None])
def test_a_queue_can_not_be_read_again_known_or_not(
    known: bool | None, broker: FakeBroker, made: RabbitConnector
) -> None:
    broker.known = known
    broker.consumer.arrived = [[delivered(1)]]
    with pytest.raises(CannotRepeat):
        repeated(made, 0, 1)
    # One that is known to be a queue is not even opened: that would take its messages.
    assert broker.consumed == (0 if known is False else 1)
    assert broker.consumer.limits == []
    assert broker.closed == broker.links


# --- The offset of a time -----------------------------------------------------------------------

AT = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(("first", "expected"), [(7, 7), (0, 0), (None, 12)])
def test_it_is_the_end_of_a_stream_if_nothing_is_as_late(
    first: int | None, expected: int, broker: FakeBroker, made: RabbitConnector
) -> None:
    broker.marks, broker.first, broker.known = {"orders": Watermarks(3, 12)}, first, True
    assert made.offsets_at(source(), [0], AT) == {0: expected}


def test_a_queue_has_no_offset_of_a_time(broker: FakeBroker, made: RabbitConnector) -> None:
    broker.marks, broker.known = {"orders": Watermarks(0, 12)}, False
    with pytest.raises(CannotRepeat):
        made.offsets_at(source(), [0], AT)
