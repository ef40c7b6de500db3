"""A range of a partition comes again complete, or it is said why not."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from ingestion.connectors.kafka import repeat
from ingestion.errors import BrokerUnreachable, OffsetsGone, Refused, StreamMissing
from tests.ingestion.connectors.kafka.kafka_fakes import END, FakeConsumer, mark, message


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> FakeConsumer:
    made = FakeConsumer({})
    monkeypatch.setattr(repeat, "Consumer", lambda *_, **__: made)
    return made


def repeated(start: int, end: int) -> list[int]:
    """The offsets that come again."""
    at = TopicPartition("a", 1, start)
    found = repeat.repeat({"bootstrap.servers": "b:9092"}, at, end)
    return [offset for chunk in found for offset in chunk.rows["_offset"].to_pylist()]


def test_it_ends_with_the_last_message_of_the_range(client: FakeConsumer) -> None:
    client.arriving = [[message(3), message(4)], [], [message(5), message(6)], [message(7)]]
    assert repeated(3, 6) == [3, 4, 5]
    assert len(client.arriving) == 1
    assert client.calls == [("watermarks", ("a", 1, -1001)), ("assign", ("a", 1, 3)), ("close",)]


def test_a_hole_at_its_end_is_seen_by_a_later_message_or_the_partitions_end(
    client: FakeConsumer,
) -> None:
    client.arriving = [[message(3)], [message(9)]]
    assert repeated(3, 6) == [3]
    client.arriving = [[message(3), mark(END, 6)]]
    assert repeated(3, 6) == [3]


@pytest.mark.parametrize(("low", "is_gone"), [(3, False), (4, True)])
def test_offsets_that_the_broker_has_deleted_are_said(
    low: int, is_gone: bool, client: FakeConsumer
) -> None:
    client.low = low
    client.arriving = [[message(3)]]
    if not is_gone:
        assert repeated(3, 4) == [3]
        return
    with pytest.raises(OffsetsGone, match="offsets 3 to 4") as raised:
        repeated(3, 4)
    assert raised.value.low == 4
    assert client.called("assign", "close") == [("close",)]


def test_an_error_in_its_midst_is_no_end_of_it(client: FakeConsumer) -> None:
    client.arriving = [[message(3), mark(KafkaError.UNKNOWN_TOPIC_OR_PART)]]
    with pytest.raises(StreamMissing):
        repeated(3, 6)
    assert client.called("close")


def test_silence_that_lasts_is_a_broker_away(
    client: FakeConsumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Begun; silent; delivered, which begins anew; silent, but not for long; too long.
    clock = iter([0.0, 20.0, 21.0, 21.0, 41.0, 42.0])
    monkeypatch.setattr(repeat, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    client.arriving = [[], [message(3)]]
    with pytest.raises(BrokerUnreachable, match="within 20 s"):
        repeated(3, 6)
    assert next(clock, None) is None
    assert client.called("close")


def test_settings_that_the_client_refuses_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise KafkaException(KafkaError(KafkaError._INVALID_ARG, "no such property"))

    monkeypatch.setattr(repeat, "Consumer", refuse)
    with pytest.raises(Refused, match="no such property"):
        repeated(3, 6)
