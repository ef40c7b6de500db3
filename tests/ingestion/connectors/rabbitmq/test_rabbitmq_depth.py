"""Where a queue or a stream begins and ends, and how often the broker is asked which it is."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from amqp.exceptions import NotFound

from ingestion.connectors.base import Watermarks
from ingestion.connectors.rabbitmq import depth
from ingestion.connectors.rabbitmq.depth import first_offset, is_queue, is_stream, watermarks
from tests.ingestion.connectors.rabbitmq.rabbitmq_fakes import Broker


@pytest.fixture(autouse=True)
def _nothing_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(depth, "_streams", {})


def consumed(broker: Broker) -> int:
    return sum(what == "consume" for what, *_ in broker.calls)


# --- Queues -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("position", "high"), [(0, 5), (100, 105)])
def test_the_depth_of_a_queue_is_counted_from_the_position_on(position: int, high: int) -> None:
    assert watermarks(Broker(count=5).link, "orders", position) == Watermarks(0, high)


def test_an_empty_queue_ends_at_the_position() -> None:
    assert watermarks(Broker(count=0).link, "orders", 100) == Watermarks(0, 100)


def test_a_queue_is_asked_only_once_whether_it_is_a_stream() -> None:
    broker = Broker(count=5)
    assert not is_queue(broker.link, "orders")
    watermarks(broker.link, "orders", 1)
    assert is_queue(broker.link, "orders")
    assert not is_stream(broker.link, "orders")
    for broker.count in (7, 0):
        watermarks(broker.link, "orders", 1)
    assert consumed(broker) == 1


def test_a_queue_that_is_gone_may_come_back_as_a_stream() -> None:
    broker = Broker(count=5)
    watermarks(broker.link, "orders", 0)
    broker.exists = False
    with pytest.raises(NotFound):
        watermarks(broker.link, "orders", 0)
    broker.exists, broker.offsets = True, [3]
    assert watermarks(broker.link, "orders", 0) == Watermarks(3, 8)


# --- Streams ------------------------------------------------------------------------------------


def test_a_stream_begins_at_its_first_message_and_has_as_many_as_it_counts() -> None:
    broker = Broker(count=5, offsets=[10, 11])
    assert watermarks(broker.link, "orders", 15) == Watermarks(10, 15)
    assert is_stream(broker.link, "orders")
    assert consumed(broker) == 1
    assert ("qos", 0, 1, False) in broker.calls


def test_a_count_that_lags_behind_the_position_is_mended_by_the_end_of_the_log() -> None:
    """Otherwise it would look as if the broker had lost what was read already."""
    broker = Broker(count=5, offsets=[10, 11, 19])
    assert watermarks(broker.link, "orders", 16) == Watermarks(10, 20)
    broker.offsets = [10]
    assert watermarks(broker.link, "orders", 16) == Watermarks(10, 15)


def test_a_stream_that_counts_nothing_yet_ends_where_its_log_does() -> None:
    broker = Broker(count=0, offsets=[10, 11])
    assert watermarks(broker.link, "orders", 12) == Watermarks(0, 12)
    assert ("consume", "orders", {"x-stream-offset": "last"}) in broker.calls


def test_a_stream_that_is_empty_ends_at_its_beginning_wherever_the_position_is() -> None:
    assert watermarks(Broker(count=0, offsets=[]).link, "orders", 12) == Watermarks(0, 0)


def test_a_stream_that_was_never_read_and_counts_nothing_is_not_read_either() -> None:
    broker = Broker(count=0, offsets=[])
    assert watermarks(broker.link, "orders", 0) == Watermarks(0, 0)
    assert consumed(broker) == 0


# --- The first offset of a time -----------------------------------------------------------------


def test_a_time_is_found_by_the_broker() -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    broker = Broker(offsets=[1, 2, 3], at_time=[2, 3])
    assert first_offset(broker.link, "orders", at) == 2
    assert ("consume", "orders", {"x-stream-offset": at}) in broker.calls


def test_nothing_of_that_time_or_a_queue_gives_none() -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    assert first_offset(Broker(offsets=[1]).link, "orders", at) is None
    assert first_offset(Broker(count=3).link, "orders", at) is None


def test_the_first_message_is_waited_for_longer_than_the_others() -> None:
    broker = Broker(offsets=[1, 2])
    assert depth.end_offset(broker.link, "orders") == 3
    assert broker.waits == [depth._PATIENCE, depth._PAUSE, depth._PAUSE]


@pytest.mark.parametrize("offsets", [None, [], [4, 5]])
def test_each_channel_is_closed_whatever_comes(offsets: list[int] | None) -> None:
    broker = Broker(offsets=offsets)
    first_offset(broker.link, "orders")
    assert broker.closed == 1
