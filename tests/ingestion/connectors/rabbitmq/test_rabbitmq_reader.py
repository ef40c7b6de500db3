"""A reader of a queue or stream: its offsets, what it acknowledges and when, what it forgets."""

from __future__ import annotations

import time
from collections import Counter
from types import SimpleNamespace
from typing import Any, cast

import pytest

from ingestion.connectors.chunk import Chunk
from ingestion.connectors.rabbitmq.consumer import STREAM_CREDIT
from ingestion.connectors.rabbitmq.reader import QUIET, RabbitReader, as_chunk
from ingestion.connectors.redelivery import Redelivery
from ingestion.errors import BrokerUnreachable
from tests.ingestion.connectors.rabbitmq.rabbitmq_fakes import FakeConsumer, delivered

PREFETCH = 10


class Reading:
    """A reader at ``position``, its consumer, and the clock, which only a test moves on."""

    def __init__(
        self,
        position: int = 0,
        *,
        is_stream: bool = False,
        redelivery: Redelivery | None = None,
        prefetch: int = PREFETCH,
    ) -> None:
        self.now = 100.0
        self.consumer = cast("Any", FakeConsumer(is_stream))
        self.closed: list[RabbitReader] = []
        self.link = cast("Any", SimpleNamespace(as_uri=lambda: "amqp://broker", close=lambda: None))
        self.redelivery = redelivery or Redelivery()
        self.reader = RabbitReader(
            self.link,
            self.consumer,
            "orders",
            position,
            self.redelivery,
            prefetch,
            self.closed.append,
            lambda: self.now,
        )

    def poll(self, *deliveries: Any) -> list[Chunk]:
        """Poll when these have arrived."""
        self.consumer.arrived.append(list(deliveries))
        return self.reader.poll(1_000)

    @property
    def acks(self) -> list[tuple[int, bool]]:
        acks: list[tuple[int, bool]] = self.consumer.channel.acks
        return acks


def offsets(chunks: list[Chunk]) -> list[int]:
    return [offset for chunk in chunks for offset in chunk.rows["_offset"].to_pylist()]


# --- Queues: offsets and acknowledgements -------------------------------------------------------


def test_a_queue_is_numbered_by_arrival_from_the_position_on() -> None:
    reading = Reading(7)
    (first,) = reading.poll(delivered(1), delivered(2))
    (second,) = reading.poll(delivered(3))
    assert (offsets([first]), first.to_offset) == ([7, 8], 9)
    assert (offsets([second]), second.to_offset) == ([9], 10)
    assert reading.acks == []


def test_nothing_that_arrives_is_no_chunk() -> None:
    reading = Reading(7)
    assert reading.poll() == []
    assert reading.reader.poll(3) == []
    assert reading.consumer.limits == [1_000, 3]


def test_all_chunks_before_the_position_are_acknowledged_at_once() -> None:
    reading = Reading(0)
    reading.poll(delivered(11), delivered(12))
    reading.poll(delivered(13))
    reading.poll(delivered(14))
    reading.reader.acknowledge({0: 1})  # in the midst of the first
    assert reading.acks == []
    reading.reader.acknowledge({0: 3})
    assert reading.acks == [(13, True)]
    reading.reader.acknowledge({0: 3})
    assert reading.acks == [(13, True)]
    reading.reader.acknowledge({0: 9})
    assert reading.acks == [(13, True), (14, True)]


def test_an_acknowledgement_that_fails_is_tried_again_and_nothing_is_forgotten() -> None:
    reading = Reading(0)
    reading.poll(delivered(11))
    reading.poll(delivered(12))
    reading.poll(delivered(13))
    reading.consumer.channel.failures = [OSError("reset"), TimeoutError("away")]
    for _ in range(2):
        with pytest.raises(BrokerUnreachable):
            reading.reader.acknowledge({0: 2})
        assert reading.acks == []
    reading.reader.acknowledge({0: 2})
    assert reading.acks == [(12, True)]
    reading.reader.acknowledge({0: 3})
    assert reading.acks == [(12, True), (13, True)]


def test_how_many_come_without_an_acknowledgement_is_the_prefetch() -> None:
    assert Reading(0, prefetch=500).reader.holds == 500


def test_messages_without_an_id_of_their_sender_are_counted() -> None:
    (chunk,) = Reading(0).poll(delivered(1), delivered(2, given=False), delivered(3, given=False))
    assert chunk.unidentified == 2


# --- Queues: what is in the table already -------------------------------------------------------


def test_what_landed_is_acknowledged_by_itself_and_takes_no_offset() -> None:
    reading = Reading(5, redelivery=Redelivery(Counter({"id-1": 1, "id-3": 1})))
    (chunk,) = reading.poll(delivered(1), delivered(2), delivered(3), delivered(4))
    assert chunk.rows["_message_id"].to_pylist() == ["id-2", "id-4"]
    assert (offsets([chunk]), chunk.to_offset, chunk.deduplicated) == ([5, 6], 7, 2)
    # Never "multiple": that would acknowledge 2 before it has landed.
    assert reading.acks == [(1, False), (3, False)]


def test_what_was_skipped_alone_is_counted_with_the_next_chunk_and_once() -> None:
    reading = Reading(5, redelivery=Redelivery(Counter({"id-1": 1, "id-2": 1})))
    assert reading.poll(delivered(1)) == []
    (second,) = reading.poll(delivered(2), delivered(3))
    assert (second.deduplicated, offsets([second])) == (2, [5])
    (third,) = reading.poll(delivered(4))
    assert (third.deduplicated, offsets([third])) == (0, [6])


def test_the_silence_after_which_nothing_comes_again_begins_with_each_delivery() -> None:
    reading = Reading(0)
    assert not reading.reader.has_caught_up()
    reading.now += QUIET
    assert not reading.reader.has_caught_up()
    reading.poll(delivered(1))
    reading.now += QUIET
    assert not reading.reader.has_caught_up()
    reading.now += 0.1
    assert reading.reader.has_caught_up()


def test_what_has_arrived_and_is_not_read_yet_is_no_silence() -> None:
    reading = Reading(0)
    reading.now += QUIET + 1
    reading.consumer.arrived.append([delivered(1)])
    assert not reading.reader.has_caught_up()


def test_after_twice_the_prefetch_nothing_older_can_be_in_flight() -> None:
    reading = Reading(0, prefetch=3)
    reading.poll(*map(delivered, range(5)))
    assert not reading.reader.has_caught_up()
    reading.poll(delivered(6))
    assert reading.reader.has_caught_up()


def test_ids_are_remembered_until_the_reader_has_caught_up() -> None:
    """A sender may use an id again, and a look at the table for every message costs time."""
    reading = Reading(0, redelivery=Redelivery(Counter({"id-1": 1, "id-2": 1})))
    assert reading.poll(delivered(1)) == []
    assert not reading.reader.has_arrived()
    assert reading.redelivery.unsettled["id-2"] == 1
    reading.now += QUIET + 0.1
    assert reading.reader.has_arrived()
    assert reading.reader.poll(10) == []
    assert not reading.reader.has_arrived()
    (chunk,) = reading.poll(delivered(2))
    assert chunk.rows["_message_id"].to_pylist() == ["id-2"]
    assert not reading.redelivery.unsettled


# --- Streams ------------------------------------------------------------------------------------


def stream(*numbers: int) -> list[Any]:
    """Deliveries of a stream; each tag is its offset and 1,000."""
    return [delivered(1_000 + number, offset=number) for number in numbers]


def test_a_stream_keeps_its_offsets_and_what_lies_before_the_position_is_left_out() -> None:
    """A stream sends whole chunks of its log; the broker's own entries leave holes."""
    reading = Reading(5, is_stream=True)
    assert reading.poll(*stream(3, 4)) == []
    (chunk,) = reading.poll(*stream(4, 5, 8))
    assert (offsets([chunk]), chunk.to_offset) == ([5, 8], 9)
    assert (chunk.deduplicated, chunk.unidentified) == (0, 0)
    assert reading.poll(*stream(7, 8)) == []


def test_messages_of_a_stream_are_recognised_by_their_offset_alone() -> None:
    redelivery = Redelivery(Counter({"id-1005": 1}))
    (chunk,) = Reading(5, is_stream=True, redelivery=redelivery).poll(*stream(5))
    assert offsets([chunk]) == [5]


def test_a_stream_may_send_more_until_too_much_has_yet_to_land() -> None:
    reading = Reading(0, is_stream=True, prefetch=STREAM_CREDIT + 3)
    reading.poll(*stream(0, 1, 2))
    assert reading.acks == [(1_002, True)]
    reading.poll(*stream(3))
    reading.poll(*stream(4))
    assert reading.acks == [(1_002, True)]
    reading.reader.acknowledge({0: 1})
    assert reading.acks == [(1_002, True)]
    reading.reader.acknowledge({0: 2})
    assert reading.acks == [(1_002, True), (1_004, True)]
    reading.reader.acknowledge({0: 5})
    assert len(reading.acks) == 2


def test_with_a_prefetch_below_the_credit_all_must_land_first() -> None:
    reading = Reading(0, is_stream=True, prefetch=10)
    reading.poll(*stream(0, 1))
    reading.reader.acknowledge({0: 1})
    assert reading.acks == []
    reading.reader.acknowledge({0: 2})
    assert reading.acks == [(1_001, True)]


def test_an_acknowledgement_of_a_stream_that_fails_is_tried_again() -> None:
    reading = Reading(0, is_stream=True)
    reading.poll(*stream(0, 1))
    reading.consumer.channel.failures = [OSError("reset")]
    with pytest.raises(BrokerUnreachable):
        reading.reader.acknowledge({0: 2})
    reading.reader.acknowledge({0: 2})
    assert reading.acks == [(1_001, True)]


# --- Errors, and closing ------------------------------------------------------------------------


@pytest.mark.parametrize("call", ["poll", "flush", "keep_alive"])
def test_a_lost_link_is_a_broker_away_and_names_the_queue(call: str) -> None:
    reading = Reading(0)

    def fail(*_: Any) -> None:
        raise OSError("reset")

    reading.consumer.receive = reading.consumer.ready = reading.consumer.keep_alive = fail
    with pytest.raises(BrokerUnreachable, match="'orders' at amqp://broker: reset"):
        getattr(reading.reader, call)(*([10] if call == "poll" else []))


def test_a_reader_whose_link_is_lost_closes_all_the_same_and_says_so_to_its_connector() -> None:
    reading = Reading(0)

    def fail() -> None:
        raise OSError("reset")

    reading.link.close = fail
    reading.reader.close()
    assert reading.closed == [reading.reader]


# --- As a chunk ---------------------------------------------------------------------------------


def test_a_message_without_a_time_gets_that_of_its_arrival() -> None:
    before = int(time.time() * 1000)
    chunk = as_chunk([delivered(1), delivered(2, timestamp=None)], 0)
    sent, arrived = chunk.rows["_timestamp"].cast("int64").to_pylist()
    assert sent == 1_700_000_000_000
    assert before <= arrived <= int(time.time() * 1000)
    assert chunk.newest == arrived


def test_a_chunk_has_body_key_and_id_of_each_message() -> None:
    chunk = as_chunk([delivered(1, b"a", key=b"x"), delivered(2, b"b", key=b"y")], 3)
    assert chunk.rows["raw"].to_pylist() == [b"a", b"b"]
    assert chunk.rows["_key"].to_pylist() == [b"x", b"y"]
    assert chunk.rows["_message_id"].to_pylist() == ["id-1", "id-2"]
    assert chunk.number == 0
