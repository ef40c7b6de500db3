"""What a consumer of a queue takes at once, what it waits on, and how it keeps its link alive."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from ingestion.connectors.rabbitmq import consumer
from ingestion.connectors.rabbitmq.consumer import STREAM_CREDIT, QueueConsumer, readable
from tests.ingestion.connectors.rabbitmq.rabbitmq_fakes import Broker, delivered, pair


class FakeFrames:
    """Reads that bring these deliveries, then silence."""

    def __init__(self, *reads: list[Any]) -> None:
        self.reads = list(reads)
        self.waits: list[float] = []

    def read(self, take: Any, wait: float) -> None:
        self.waits.append(wait)
        if not self.reads:
            raise TimeoutError
        for one in self.reads.pop(0):
            take(one)


def consuming(*reads: list[Any]) -> tuple[QueueConsumer, FakeFrames]:
    made = QueueConsumer(Broker().link, "orders", 0, 100)
    frames = FakeFrames(*reads)
    made._frames = frames  # type: ignore[assignment]
    return made, frames


# --- Queue or stream ----------------------------------------------------------------------------


def test_a_stream_is_read_from_the_offset_on_and_within_its_credit() -> None:
    broker = Broker(count=4, offsets=[7])
    made = QueueConsumer(broker.link, "orders", 7, 20_000)
    assert made.is_stream
    assert broker.calls == [
        ("declare", "orders", True),
        ("qos", 0, STREAM_CREDIT, False),
        ("consume", "orders", {"x-stream-offset": 7}),
    ]


def test_a_stream_with_a_small_prefetch_keeps_to_that() -> None:
    broker = Broker(offsets=[])
    QueueConsumer(broker.link, "orders", 0, 50)
    assert ("qos", 0, 50, False) in broker.calls


def test_a_queue_refuses_an_offset_and_is_read_by_the_prefetch() -> None:
    broker = Broker(count=4)
    made = QueueConsumer(broker.link, "orders", 7, 20_000)
    assert (made.is_stream, made.depth) == (False, 4)
    assert broker.calls[-2:] == [("qos", 0, 20_000, False), ("consume", "orders", {})]


def test_bodies_stay_bytes_whatever_encoding_their_sender_claims() -> None:
    made, _ = consuming()
    assert made.channel.auto_decode is False


# --- Receiving ----------------------------------------------------------------------------------


def test_no_more_than_the_limit_is_taken_and_the_rest_comes_next() -> None:
    made, frames = consuming([delivered(1), delivered(2), delivered(3)], [delivered(4)])
    assert [one.tag for one in made.receive(2, 0.5)] == [1, 2]
    assert len(frames.reads) == 1
    assert [one.tag for one in made.receive(2, 0.5)] == [3, 4]
    assert frames.waits == [0.5, 0.5]


def test_silence_ends_it_with_what_there_is() -> None:
    made, _ = consuming([delivered(1)])
    assert [one.tag for one in made.receive(10, 0.0)] == [1]
    assert made.receive(10, 0.0) == []


def test_large_bodies_end_it_before_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consumer, "_BYTES", 100)
    large = [[delivered(tag, b"x" * 60)] for tag in range(1, 6)]
    made, _ = consuming(*large)
    assert [one.tag for one in made.receive(10, 0.0)] == [1, 2]
    # What was taken counts no longer.
    assert [one.tag for one in made.receive(10, 0.0)] == [3, 4]
    assert [one.tag for one in made.receive(1, 0.0)] == [5]


def test_what_py_amqp_has_read_itself_comes_in_its_turn() -> None:
    made, _ = consuming([delivered(2)])
    made._take(
        SimpleNamespace(  # type: ignore[arg-type]
            body=b"early", properties={}, delivery_info={"delivery_tag": 1, "routing_key": "k"}
        )
    )
    assert [(one.tag, one.body) for one in made.receive(10, 0.0)] == [(1, b"early"), (2, b"{}")]


# --- Its socket ---------------------------------------------------------------------------------


@pytest.fixture
def wired() -> Iterator[tuple[QueueConsumer, Any, Any]]:
    """A consumer, the connection that it has, and the broker's end of it."""
    ours, theirs = pair()
    made, _ = consuming()
    connection = SimpleNamespace(
        connected=True, sock=ours, bytes_recv=0, ticks=0, heartbeat_tick=lambda: None
    )

    def tick() -> None:
        connection.ticks += 1

    connection.heartbeat_tick = tick
    made.channel.connection = connection
    yield made, connection, theirs
    ours.close()
    theirs.close()


def test_something_has_arrived_once_bytes_have(wired: tuple[QueueConsumer, Any, Any]) -> None:
    made, _, broker = wired
    assert not made.has_arrived()
    broker.send(b"x")
    assert made.has_arrived()
    assert not made.has_buffered()


def test_what_was_collected_has_arrived_though_the_socket_is_empty(
    wired: tuple[QueueConsumer, Any, Any],
) -> None:
    made, _, _ = wired
    made._note(delivered(1))
    assert made.has_buffered()


def test_a_lost_link_counts_as_arrived_so_that_its_error_is_seen(
    wired: tuple[QueueConsumer, Any, Any],
) -> None:
    made, connection, _ = wired
    connection.connected = False
    assert (made.socket, made.has_buffered(), made.has_arrived()) == (None, True, True)
    connection.connected = True
    connection.sock.close()
    assert made.has_buffered()
    made.channel.connection = None
    assert made.socket is None


@pytest.mark.parametrize(("pending", "expected"), [(0, False), (1, True)])
def test_bytes_that_tls_has_decrypted_have_arrived_though_the_socket_is_empty(
    wired: tuple[QueueConsumer, Any, Any],
    pending: int,
    expected: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made, connection, _ = wired

    class Secured(ssl.SSLSocket):
        def fileno(self) -> int:
            return 3

        def pending(self) -> int:
            return pending

    connection.sock = Secured.__new__(Secured)
    assert made.has_buffered() is expected
    connection.sock = None
    connection.connected = False


def test_a_heartbeat_is_sent_and_bytes_that_nobody_reads_count_as_one(
    wired: tuple[QueueConsumer, Any, Any],
) -> None:
    made, connection, broker = wired
    made.keep_alive()
    assert (connection.ticks, connection.bytes_recv) == (1, 0)
    broker.send(b"x")
    made.keep_alive()
    assert (connection.ticks, connection.bytes_recv) == (2, 1)


def test_a_lost_link_gets_no_heartbeat(wired: tuple[QueueConsumer, Any, Any]) -> None:
    made, connection, _ = wired
    connection.connected = False
    made.keep_alive()
    assert connection.ticks == 0


def test_sockets_with_data_or_closed_are_counted() -> None:
    ends = [pair() for _ in range(3)]
    ends[0][1].send(b"x")
    ends[1][1].close()
    assert readable([ours for ours, _ in ends]) == 2
    assert readable([ends[2][0]]) == 0
    assert readable([]) == 0
    for both in ends:
        for one in both:
            one.close()
