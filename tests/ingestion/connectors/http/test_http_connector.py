"""The connector of the events endpoint: one look at Postgres for all readers, and no oftener."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from ingestion.connectors.base import Watermarks
from ingestion.connectors.chunk import Chunk, chunk
from ingestion.connectors.http import connector, spool
from ingestion.connectors.http.connector import (
    LOOK_EVERY,
    REST_LOOK_A_SOURCE,
    REST_LOOK_EVERY,
    HttpConnector,
)
from ingestion.connectors.http.reader import HttpReader
from ingestion.connectors.redelivery import Redelivery
from ingestion.models import Source


class Spools:
    """Spools by partition: ``high``, the offset of the next new event, and what was asked."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        self.high: dict[int, int] = {}
        self.looks: list[list[int]] = []
        self.slept: list[float] = []
        self.read: list[tuple[int, int, int]] = []
        self.forgotten: list[tuple[int, int]] = []
        self.found: Chunk | None = None
        patch.setattr(spool, "high_watermarks", self._look)
        patch.setattr(spool, "read", self._read)
        patch.setattr(spool, "forget", lambda *which: self.forgotten.append(which))
        patch.setattr(connector, "time", SimpleNamespace(sleep=self._sleep))
        rows = SimpleNamespace(get=self._get, filter=lambda **_: self._rows())
        patch.setattr(connector, "StreamPartition", SimpleNamespace(across_tenants=rows))
        self.connector = HttpConnector(lambda: self.now)

    def _look(self, partitions: list[int]) -> dict[int, int]:
        self.looks.append(partitions)
        return {partition: self.high[partition] for partition in partitions}

    def _read(self, *which: int, metadata: Sequence[str]) -> Chunk | None:
        self.read.append(which)  # type: ignore[arg-type]
        return self.found

    def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    def _get(self, source: Source, number: int) -> Any:
        return SimpleNamespace(pk=source.pk * 10, high_watermark=self.high[source.pk * 10])

    def _rows(self) -> list[Any]:
        return [
            SimpleNamespace(source_id=pk // 10, high_watermark=at) for pk, at in self.high.items()
        ]

    def open(self, pk: int, position: int, high: int) -> HttpReader:
        self.high[pk * 10] = high
        return self.connector.open(Source(pk=pk), {0: position}, Redelivery())


@pytest.fixture
def spools(monkeypatch: pytest.MonkeyPatch) -> Spools:
    return Spools(monkeypatch)


def test_a_source_without_events_ends_where_it_begins(spools: Spools) -> None:
    spools.high = {10: 7}
    assert spools.connector.measure([Source(pk=1), Source(pk=2)]) == {
        1: {0: Watermarks(0, 7)},
        2: {0: Watermarks(0, 0)},
    }


def test_one_look_is_for_all_readers_and_not_for_those_that_have_closed(spools: Spools) -> None:
    spools.open(1, 0, 5)
    second = spools.open(2, 0, 5)
    spools.connector.receive(10)
    assert spools.looks == [[10, 20]]
    second.close()
    spools.now += LOOK_EVERY
    spools.connector.receive(10)
    assert spools.looks == [[10, 20], [10]]
    spools.connector.close()
    spools.now += 1
    spools.connector.receive(10)
    assert spools.looks[2:] == [[]]


def test_a_turn_looks_only_when_it_is_time(spools: Spools) -> None:
    spools.open(1, 0, 5)
    spools.connector.receive(10)
    spools.now += LOOK_EVERY * 0.9
    spools.connector.receive(10)
    assert len(spools.looks) == 1
    spools.now += LOOK_EVERY * 0.2
    spools.connector.receive(10)
    assert len(spools.looks) == 2


def test_at_rest_the_more_sources_the_rarer_a_look(spools: Spools) -> None:
    for pk in range(1, 501):
        spools.open(pk, 0, 0)
    assert not spools.connector.wait(5.0)
    assert spools.slept == [0.0]
    assert not spools.connector.wait(5.0)
    assert spools.slept[1] == pytest.approx(REST_LOOK_EVERY + 500 * REST_LOOK_A_SOURCE)
    assert len(spools.looks) == 2


def test_a_wait_ends_with_an_event_or_in_time_and_then_without_a_look(spools: Spools) -> None:
    spools.open(1, 0, 5)
    assert not spools.connector.wait(5.0)  # no event since it was opened
    spools.high[10] = 6
    assert not spools.connector.wait(0.05)
    assert (spools.slept[-1], len(spools.looks)) == (0.05, 1)
    assert spools.connector.wait(5.0)
    assert len(spools.looks) == 2
    assert not spools.connector.wait(5.0)


# --- A reader -----------------------------------------------------------------------------------


def test_a_reader_reads_from_its_position_to_the_end_of_the_last_look(spools: Spools) -> None:
    reader = spools.open(1, 3, 5)
    assert reader.has_arrived()
    spools.found = chunk(0, [3], [1], [b"{}"])
    spools.high[10] = 9
    assert [one.to_offset for one in reader.poll(10)] == [4]
    assert reader.has_arrived()
    spools.found = chunk(0, [4], [1], [b"{}"])
    reader.poll(10)
    assert spools.read == [(10, 3, 5), (10, 4, 5)]
    assert not reader.has_arrived()
    assert reader.poll(10) == []
    assert len(spools.read) == 2
    spools.connector.receive(10)
    assert reader.has_arrived()


def test_events_that_are_not_there_yet_are_no_chunk(spools: Spools) -> None:
    reader = spools.open(1, 3, 5)
    assert reader.poll(10) == []
    assert reader.has_arrived()


def test_what_landed_is_deleted(spools: Spools) -> None:
    reader = spools.open(1, 3, 5)
    reader.acknowledge({0: 4})
    assert spools.forgotten == [(10, 4)]
    reader.flush()
    assert reader.has_caught_up()
