"""One consumer of many topics, without a broker: what it assigns, pauses, takes and raises."""

from __future__ import annotations

from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from ingestion.connectors.kafka import shared
from ingestion.connectors.kafka.shared import SharedConsumer, Tray, trouble
from ingestion.errors import BrokerUnreachable, OffsetsGone, StreamMissing
from tests.ingestion.connectors.kafka.kafka_fakes import END, FakeConsumer, mark, message

SETTINGS = {"bootstrap.servers": "b:9092", "fetch.message.max.bytes": 1}


@pytest.fixture
def clients(monkeypatch: pytest.MonkeyPatch) -> list[FakeConsumer]:
    """The consumers that are made."""
    made: list[FakeConsumer] = []

    def make(settings: dict[str, Any], **named: Any) -> FakeConsumer:
        made.append(FakeConsumer(settings, **named))
        return made[-1]

    monkeypatch.setattr(shared, "Consumer", make)
    return made


@pytest.fixture
def consumer(clients: list[FakeConsumer]) -> SharedConsumer:
    return SharedConsumer(SETTINGS)


def two(consumer: SharedConsumer, clients: list[FakeConsumer]) -> tuple[Tray, Tray, FakeConsumer]:
    """The trays of two topics that are read, and the client."""
    first, second = consumer.add("a", {0: 0}), consumer.add("b", {0: 0})
    consumer.receive(10)
    clients[0].calls.clear()
    return first, second, clients[0]


def receive(consumer: SharedConsumer, client: FakeConsumer, *arriving: Any) -> bool:
    client.arriving.append(list(arriving))
    return consumer.receive(1_000)


def offsets(messages: list[Any]) -> list[int]:
    return [one.offset() for one in messages]


# --- A tray -------------------------------------------------------------------------------------


def test_a_tray_gives_as_many_as_are_wanted_and_its_ends_with_the_last() -> None:
    tray = Tray("a", {0: 0}, [message(0), message(1), message(2)], 6, {0: 3})
    messages, ends = tray.take(2)
    assert (offsets(messages), ends, tray.bytes) == ([0, 1], {}, 2)
    assert tray.has_arrived()
    messages, ends = tray.take(1)
    assert (offsets(messages), ends, tray.bytes) == ([2], {0: 3}, 0)
    assert not tray.has_arrived()
    assert tray.take(1) == ([], {})


def test_an_error_comes_after_all_that_was_delivered_before_it() -> None:
    tray = Tray("a", {0: 0}, [message(0), message(1)], error=StreamMissing("gone"))
    assert offsets(tray.take(1)[0]) == [0]
    assert offsets(tray.take(1)[0]) == [1]
    assert tray.has_arrived()
    with pytest.raises(StreamMissing):
        tray.take(1)


def test_an_end_alone_has_arrived() -> None:
    tray = Tray("a", {0: 0}, ends={0: 3})
    assert tray.has_arrived()
    assert tray.take(10) == ([], {0: 3})


@pytest.mark.parametrize(("messages", "size", "expected"), [(2, 9, True), (3, 9, False), (3, 8, 1)])
def test_a_tray_is_beyond_a_number_or_a_size(messages: int, size: int, expected: bool) -> None:
    assert Tray("a", {}, [message(0), message(1)], 8).is_beyond(messages, size) is bool(expected)


# --- Assigning ----------------------------------------------------------------------------------


def test_nothing_is_asked_before_a_topic_is_added(
    consumer: SharedConsumer, clients: list[FakeConsumer]
) -> None:
    assert not consumer.receive(10)
    assert clients == []


def test_topics_are_assigned_together_then_one_by_one(
    consumer: SharedConsumer, clients: list[FakeConsumer]
) -> None:
    consumer.add("a", {0: 5, 1: 7})
    consumer.add("b", {0: 0})
    consumer.receive(10)
    consumer.receive(10)
    consumer.add("c", {2: 9})
    consumer.remove("a")
    consumer.receive(10)
    assert clients[0].calls == [
        ("assign", ("a", 0, 5), ("a", 1, 7), ("b", 0, 0)),
        ("incremental_unassign", ("a", 0, 5), ("a", 1, 7)),
        ("incremental_assign", ("c", 2, 9)),
    ]
    assert (consumer.has("a"), consumer.has("b"), consumer.has("c")) == (False, True, True)


def test_a_topic_that_was_never_assigned_is_not_unassigned(
    consumer: SharedConsumer, clients: list[FakeConsumer]
) -> None:
    consumer.add("a", {0: 0})
    consumer.add("b", {0: 0})
    consumer.remove("b")
    consumer.remove("never")
    consumer.receive(10)
    assert clients[0].calls == [("assign", ("a", 0, 0))]


def test_an_assignment_that_fails_is_made_again(
    consumer: SharedConsumer, clients: list[FakeConsumer]
) -> None:
    _, _, client = two(consumer, clients)
    client.failures["incremental_assign"] = KafkaException(KafkaError(KafkaError._TRANSPORT))
    consumer.add("c", {0: 4})
    with pytest.raises(BrokerUnreachable, match="Assigning partitions"):
        consumer.receive(10)
    consumer.receive(10)
    consumer.receive(10)
    assert client.calls == [("incremental_assign", ("c", 0, 4))]


def test_messages_of_a_topic_that_was_removed_are_nobodys(
    consumer: SharedConsumer, clients: list[FakeConsumer]
) -> None:
    first, _, client = two(consumer, clients)
    consumer.add("c", {0: 0})
    consumer.remove("b")
    assert receive(consumer, client, message(0), message(0, topic="b"), mark(END, 1, topic="b"))
    assert offsets(first.messages) == [0]


def test_messages_go_to_the_tray_of_their_topic_in_their_order(
    consumer: SharedConsumer, clients: list[FakeConsumer]
) -> None:
    first, second, client = two(consumer, clients)
    arriving = [message(0), message(0, topic="b"), message(1), message(2), message(1, topic="b")]
    assert receive(consumer, client, *arriving)
    assert (offsets(first.messages), offsets(second.messages)) == ([0, 1, 2], [0, 1])
    assert (first.bytes, second.bytes) == (6, 4)


# --- Ends and errors ----------------------------------------------------------------------------


def test_an_end_is_noted_for_its_partition_and_is_no_message(
    consumer: SharedConsumer, clients: list[FakeConsumer]
) -> None:
    first, second, client = two(consumer, clients)
    receive(consumer, client, message(3, 1), mark(END, 5, 1), mark(END, 4, 0))
    assert offsets(first.messages) == [3]
    assert (first.ends, second.ends) == ({1: 5, 0: 4}, {})


def test_an_error_of_one_topic_hurts_no_other(
    consumer: SharedConsumer, clients: list[FakeConsumer]
) -> None:
    first, second, client = two(consumer, clients)
    receive(consumer, client, mark(KafkaError._UNKNOWN_TOPIC, topic="b"), message(0))
    assert (first.error, type(second.error)) == (None, StreamMissing)
    assert offsets(first.messages) == [0]


def test_an_error_without_a_topic_is_of_all(
    consumer: SharedConsumer, clients: list[FakeConsumer]
) -> None:
    first, second, client = two(consumer, clients)
    receive(consumer, client, mark(KafkaError._TRANSPORT, topic=None))
    assert {type(first.error), type(second.error)} == {BrokerUnreachable}


@pytest.mark.parametrize("code", [KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE])
def test_an_offset_that_the_broker_has_not_is_gone(code: int) -> None:
    found = trouble(KafkaError(code), mark(code, 7, 1), "b:9092")
    assert isinstance(found, OffsetsGone)
    assert "'a', partition 1: offset 7" in str(found)


def test_while_no_broker_answers_readers_say_so(
    consumer: SharedConsumer, clients: list[FakeConsumer]
) -> None:
    _, _, client = two(consumer, clients)
    report = client.settings["error_cb"]
    report(KafkaError(KafkaError._TRANSPORT))
    assert not consumer.is_down()
    consumer.raise_if_down("a")
    report(KafkaError(KafkaError._ALL_BROKERS_DOWN))
    consumer.receive(10)
    assert consumer.is_down()
    with pytest.raises(BrokerUnreachable, match="'a'"):
        consumer.raise_if_down("a")
    receive(consumer, client, message(0))
    assert not consumer.is_down()


def test_after_a_fatal_error_it_is_down(
    consumer: SharedConsumer, clients: list[FakeConsumer]
) -> None:
    _, _, client = two(consumer, clients)
    client.settings["error_cb"](KafkaError(KafkaError._FATAL, "fenced", fatal=True))
    assert consumer.is_down()


# --- Pausing ------------------------------------------------------------------------------------


@pytest.fixture
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tray is full with 8 messages or 100 bytes; all together with 12 or 1,000."""
    for name, value in (("FULL", 8), ("FULL_BYTES", 100), ("FULL_ALL", 12)):
        monkeypatch.setattr(shared, name, value)
    monkeypatch.setattr(shared, "FULL_BYTES_ALL", 1_000)


def many(count: int, topic: str = "a", **fields: Any) -> list[Any]:
    return [message(offset, topic=topic, **fields) for offset in range(count)]


@pytest.mark.usefixtures("_small")
def test_a_full_tray_pauses_its_topic_until_it_is_nearly_empty(
    consumer: SharedConsumer, clients: list[FakeConsumer]
) -> None:
    first, _, client = two(consumer, clients)
    receive(consumer, client, *many(7))
    assert client.calls == []
    receive(consumer, client, message(7))
    assert client.calls == [("pause", ("a", 0, 0))]
    receive(consumer, client, message(0, topic="b"))
    assert len(client.calls) == 1  # only once
    first.take(6)
    consumer.receive(10)
    assert client.called("resume") == []  # a quarter of 8 is left
    first.take(1)
    consumer.receive(10)
    assert client.called("resume") == [("resume", ("a", 0, 0))]
    consumer.receive(10)
    assert len(client.calls) == 2


@pytest.mark.usefixtures("_small")
def test_a_tray_may_be_full_of_bytes(consumer: SharedConsumer, clients: list[FakeConsumer]) -> None:
    first, _, client = two(consumer, clients)
    receive(consumer, client, message(0, value=b"x" * 99))
    assert client.calls == []
    receive(consumer, client, message(1, value=b"x"))
    assert client.called("pause") == [("pause", ("a", 0, 0))]
    assert first.is_paused


@pytest.mark.usefixtures("_small")
def test_while_all_together_hold_too_much_each_may_hold_its_share(
    consumer: SharedConsumer, clients: list[FakeConsumer]
) -> None:
    _, _, client = two(consumer, clients)
    receive(consumer, client, *many(6), *many(5, "b"))
    assert client.calls == []
    receive(consumer, client, message(5, topic="b"))
    assert client.called("pause") == [("pause", ("a", 0, 0)), ("pause", ("b", 0, 0))]
    consumer.receive(1_000)
    assert client.asked[-1][0] == 6  # nor does one call bring more


@pytest.mark.usefixtures("_small")
def test_a_single_topic_is_never_paused(
    consumer: SharedConsumer, clients: list[FakeConsumer]
) -> None:
    """It delays no other, and librdkafka's own bounds hold."""
    consumer.add("a", {0: 0})
    consumer.receive(10)
    receive(consumer, clients[0], *many(50))
    assert clients[0].called("pause") == []


@pytest.mark.usefixtures("_small")
def test_a_topic_that_is_removed_while_paused_is_not_paused_when_it_is_read_again(
    consumer: SharedConsumer, clients: list[FakeConsumer]
) -> None:
    """librdkafka keeps the pause beyond the assignment: the topic would never deliver again."""
    _, _, client = two(consumer, clients)
    receive(consumer, client, *many(8))
    client.calls.clear()
    consumer.remove("a")
    consumer.add("a", {0: 3})
    consumer.receive(10)
    assert client.calls == [
        ("resume", ("a", 0, 0)),
        ("incremental_unassign", ("a", 0, 0)),
        ("incremental_assign", ("a", 0, 3)),
    ]
    consumer.remove("a")
    consumer.receive(10)
    assert client.calls[3:] == [("incremental_unassign", ("a", 0, 3))]


def test_a_call_brings_the_limit_at_most(
    consumer: SharedConsumer, clients: list[FakeConsumer]
) -> None:
    _, _, client = two(consumer, clients)
    consumer.receive(3, 0.5)
    consumer.receive(0)
    assert client.asked[-2:] == [(3, 0.5), (1, 0.0)]


# --- Closing ------------------------------------------------------------------------------------


def test_a_consumer_that_can_not_be_closed_is_let_go(
    consumer: SharedConsumer, clients: list[FakeConsumer]
) -> None:
    _, _, client = two(consumer, clients)
    client.failures["close"] = KafkaException(KafkaError(KafkaError._TRANSPORT))
    consumer.close()
    consumer.close()
    assert client.calls == []
    assert not consumer.receive(10)
