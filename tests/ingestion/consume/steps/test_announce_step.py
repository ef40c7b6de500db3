"""Step announce: which batches are taken from the buffers, and which of them Postgres accepts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from ingestion.batches import announce as books
from ingestion.consume.scheduling.grouping import MAX_GROUP
from ingestion.consume.steps import announce
from ingestion.errors import LeaseLost
from tests.ingestion.consume.slice_of_fakes import FakeSlice


@pytest.fixture(autouse=True)
def asked(monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    """The sources whose intents Postgres is given; it refuses those with an odd key."""
    asked: list[list[int]] = []

    def announced(_: str, intents: Mapping[Any, Any]) -> set[Any]:
        asked.append([held.source_id for held in intents])
        return {one.token for held, one in intents.items() if held.source_id % 2 == 0}

    monkeypatch.setattr(books, "announce", announced)
    return asked


def sources(fakes: FakeSlice) -> list[list[int]]:
    return [
        [candidate.reader.source.pk for candidate in group.candidates]
        for group in fakes.state.announced
    ]


def test_what_has_waited_for_its_age_is_announced_in_one_statement(
    fakes: FakeSlice, asked: list[list[int]]
) -> None:
    for key in (2, 4):
        fakes.holds(fakes.reader(key), rows=3)
    fakes.clock.now = 100.6
    fresh = fakes.holds(fakes.reader(6))
    announce.run(fakes.state, 100.6)
    assert asked == [[2, 4]]
    assert sources(fakes) == [[2, 4]], "Small batches of like tables are one insert."
    assert fakes.state.progress == 2
    assert (fresh.buffer.rows, fresh.buffer.under_way) == (1, None)


def test_what_postgres_refuses_is_not_inserted_and_its_source_leaves(fakes: FakeSlice) -> None:
    refused, good = fakes.holds(fakes.reader(1)), fakes.holds(fakes.reader(2))
    announce.run(fakes.state, 200.0)
    assert sources(fakes) == [[2]]
    assert isinstance(fakes.errors[1], LeaseLost)
    assert refused.buffer.under_way is None
    assert good.batch.intent.rows == 1
    assert fakes.state.progress == 1


def test_nothing_is_cut_while_there_is_no_room(fakes: FakeSlice, asked: list[list[int]]) -> None:
    waiting = fakes.holds(fakes.reader(2))
    fakes.pool.submitted = [([], lambda: None)] * 2
    announce.run(fakes.state, 200.0)
    assert (asked, sources(fakes), waiting.buffer.rows) == ([[]], [], 1)


@pytest.mark.parametrize(("waiting", "groups"), [(MAX_GROUP - 1, 0), (MAX_GROUP, 1)])
def test_what_is_not_due_yet_goes_if_it_fills_an_insert(
    fakes: FakeSlice, waiting: int, groups: int
) -> None:
    for key in range(2, 2 + 2 * waiting, 2):
        fakes.holds(fakes.reader(key, tenant=1))
    # One tenant with so many partitions that batches may get older than the policy's half second.
    fakes.pool.small_cost = 0.1
    announce.run(fakes.state, 100.6)
    assert [len(members) for members in sources(fakes)] == [MAX_GROUP] * groups


def test_at_the_end_all_that_waits_goes_however_young(fakes: FakeSlice) -> None:
    fakes.holds(fakes.reader(2))
    fakes.state.is_draining = True
    announce.run(fakes.state, 100.0)
    assert sources(fakes) == [[2]]


def test_a_buffer_with_a_batch_under_way_waits_at_the_end_too(fakes: FakeSlice) -> None:
    reader = fakes.reader(2)
    fakes.inserts(reader)
    fakes.holds(reader)
    fakes.state.is_draining = True
    announce.run(fakes.state, 100.0)
    assert sources(fakes) == []
