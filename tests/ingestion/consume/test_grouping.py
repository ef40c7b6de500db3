"""Which batches are inserted together: real buffers and messages, readers with columns only."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from ingestion.connectors.chunk import chunk
from ingestion.consume.buffer import PartitionBuffer
from ingestion.consume.scheduling.batch_policy import SMALL_ROWS
from ingestion.consume.scheduling.candidate import Candidate
from ingestion.consume.scheduling.grouping import MAX_GROUP, groups

LEASE: Any = None


def candidate(since: float, columns: str = "n", rows: int = 1) -> Candidate:
    buffer = PartitionBuffer(LEASE, position=0, high=0)
    buffer.add(chunk(0, range(rows), [0] * rows, [b"{}"] * rows), since)
    reader: Any = SimpleNamespace(address=SimpleNamespace(form=columns))
    return Candidate(reader, buffer)


def since(grouped: Any) -> list[list[float]]:
    return [[candidate.since for candidate in group] for group in grouped]


def test_what_is_due_and_alike_goes_together_the_oldest_first() -> None:
    due = [candidate(3), candidate(1), candidate(2, "other"), candidate(4)]
    assert since(groups(due)) == [[1, 3, 4], [2]]


def test_large_batches_go_alone() -> None:
    due = [candidate(1), candidate(2, rows=SMALL_ROWS + 1), candidate(4)]
    assert since(groups(due, [candidate(0, rows=SMALL_ROWS + 1)])) == [[1, 4], [2]]


def test_an_insert_is_filled_with_what_has_waited_longest() -> None:
    company = [candidate(at) for at in range(100, 0, -1)]
    (group,) = since(groups([candidate(0)], [*company, candidate(0.5, "other")]))
    assert group == list(range(MAX_GROUP))
    many = [candidate(at) for at in range(3 * MAX_GROUP, 0, -1)]
    assert since(groups(many, company)) == [list(range(1, MAX_GROUP + 1))]


@pytest.mark.parametrize(("waiting", "number"), [(MAX_GROUP - 1, 0), (3 * MAX_GROUP, 1)])
def test_where_nothing_is_due_only_a_full_insert_is_made(waiting: int, number: int) -> None:
    grouped = since(groups([], [candidate(at) for at in range(waiting)]))
    assert grouped == [list(range(MAX_GROUP))] * number
