"""A reader of one topic: its chunks, its offsets with their holes, and what it passes on."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from ingestion.connectors.kafka.reader import KafkaReader, chunks
from ingestion.connectors.kafka.shared import Tray
from ingestion.errors import BrokerUnreachable
from tests.ingestion.connectors.kafka.kafka_fakes import message


class Reading:
    """A reader, the tray that it takes from, and the calls of consumer and commits."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.tray = Tray("a", {})
        self.is_down = False
        shared: Any = SimpleNamespace(
            add=self._add,
            remove=lambda topic: self.calls.append(("remove", topic)),
            is_down=lambda: self.is_down,
            raise_if_down=self._raise_if_down,
        )
        commits: Any = SimpleNamespace(
            note=lambda *of: self.calls.append(("note", *of)),
            flush=lambda group: self.calls.append(("flush", group)),
        )
        self.reader = KafkaReader(shared, commits, "g", "a", {0: 3, 1: 0})

    def _add(self, topic: str, positions: Any) -> Tray:
        self.calls.append(("add", topic, positions))
        return self.tray

    def _raise_if_down(self, topic: str) -> None:
        if self.is_down:
            raise BrokerUnreachable(topic)


def reached(found: list[Any]) -> dict[int, tuple[list[int], int]]:
    return {one.number: (one.rows["_offset"].to_pylist(), one.to_offset) for one in found}


def test_each_partition_has_one_chunk_in_its_own_order() -> None:
    found = chunks([message(3), message(0, 1), message(5), message(1, 1), message(6)])
    assert reached(found) == {0: ([3, 5, 6], 7), 1: ([0, 1], 2)}
    assert chunks([]) == []


def test_a_message_keeps_value_key_and_time_and_what_it_lacks_is_empty() -> None:
    (chunk,) = chunks(
        [
            message(0, value=b"v", key=b"k", timestamp=(1, 1_000)),
            message(1, value=None, timestamp=(2, 5_000)),
            message(2, timestamp=(1, 2_000)),
        ]
    )
    assert chunk.rows["raw"].to_pylist() == [b"v", b"", b"{}"]
    assert chunk.rows["_key"].to_pylist() == [b"k", b"", b""]
    assert chunk.rows["_timestamp"].cast("int64").to_pylist() == [1_000, 5_000, 2_000]
    assert chunk.newest == 5_000


def test_a_poll_takes_the_limit_and_passes_over_holes_at_the_end() -> None:
    reading = Reading()
    reading.tray.messages = [message(3), message(4), message(5)]
    reading.tray.ends = {0: 8, 1: 2}
    assert reached(reading.reader.poll(2)) == {0: ([3, 4], 5)}
    assert reached(reading.reader.poll(2)) == {0: ([5], 8), 1: ([], 2)}
    assert reading.reader.poll(2) == []
    reading.tray.ends = {1: 4}
    assert reached(reading.reader.poll(2)) == {1: ([], 4)}


def test_a_broker_that_is_away_is_said_after_what_it_has_delivered() -> None:
    reading = Reading()
    assert not reading.reader.has_arrived()
    reading.is_down = True
    reading.tray.messages = [message(3)]
    assert reached(reading.reader.poll(2)) == {0: ([3], 4)}
    assert reading.reader.has_arrived()
    with pytest.raises(BrokerUnreachable):
        reading.reader.poll(2)


def test_what_landed_is_noted_and_committed_at_the_latest_when_it_closes() -> None:
    reading = Reading()
    reading.reader.acknowledge({0: 7})
    reading.reader.close()
    assert reading.calls == [
        ("add", "a", {0: 3, 1: 0}),
        ("note", "g", "a", {0: 7}),
        ("remove", "a"),
        ("flush", "g"),
    ]
