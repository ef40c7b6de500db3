"""Events out of the rows of the spool: a row is a request, and a range may lie within one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from types import SimpleNamespace
from typing import Any

import pytest
import zstandard

from ingestion.connectors.http import spool

AT = datetime(2026, 1, 1, tzinfo=UTC)
MS = int(AT.timestamp() * 1000)


class Rows:
    """A cursor that answers each query by the next of these, and notes its parameters."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.answers: list[list[tuple[Any, ...]]] = []
        self.asked: list[Any] = []
        patch.setattr(spool, "connection", SimpleNamespace(cursor=lambda: self))

    def __enter__(self) -> Rows:
        return self

    def __exit__(self, *_: object) -> None:
        return

    def execute(self, _: str, parameters: Any) -> None:
        self.asked.append(parameters)

    def fetchall(self) -> list[tuple[Any, ...]]:
        return self.answers.pop(0)


@pytest.fixture
def rows(monkeypatch: pytest.MonkeyPatch) -> Rows:
    return Rows(monkeypatch)


def request(first: int, *events: bytes, at: datetime = AT, headers: str = "") -> tuple[Any, ...]:
    return first, len(events), zstandard.compress(b"\n".join(events)), at, headers


def test_requests_follow_each_other_with_the_time_of_each(rows: Rows) -> None:
    later = AT + timedelta(milliseconds=1.9)
    rows.answers = [[request(5, b"a", b"b"), request(7, b"c", at=later)]]
    found = spool.read(1, 5, 8, number=3)
    assert found is not None
    assert found.rows["_offset"].to_pylist() == [5, 6, 7]
    assert found.rows["raw"].to_pylist() == [b"a", b"b", b"c"]
    assert found.rows["_timestamp"].cast("int64").to_pylist() == [MS, MS, MS + 1]
    assert (found.number, found.to_offset) == (3, 8)


@pytest.mark.parametrize(
    ("start", "end", "events"),
    [(5, 9, b"abcd"), (6, 9, b"bcd"), (5, 8, b"abc"), (6, 8, b"bc"), (0, 99, b"abcd")],
)
def test_a_range_may_begin_and_end_within_a_request(
    rows: Rows, start: int, end: int, events: bytes
) -> None:
    rows.answers = [[request(5, b"a", b"b", b"c", b"d")]]
    found = spool.read(1, start, end)
    assert found is not None
    assert b"".join(found.rows["raw"].to_pylist()) == events
    assert found.rows["_offset"].to_pylist() == list(range(max(5, start), min(9, end)))


def test_nothing_is_no_chunk(rows: Rows) -> None:
    rows.answers = [[]]
    assert spool.read(1, 5, 8) is None


def test_a_long_range_is_read_piece_by_piece_and_ends_where_nothing_is(rows: Rows) -> None:
    rows.answers = [[request(5, b"a", b"b")], [request(7, b"c", b"d")]]
    assert [one.to_offset for one in spool.read_all(1, 5, 9)] == [7, 9]
    assert [(one["start"], one["end"]) for one in rows.asked] == [(5, 9), (7, 9)]
    rows.answers = [[request(5, b"a")], []]
    assert [one.to_offset for one in spool.read_all(1, 5, 9)] == [6]
    assert list(spool.read_all(1, 9, 9)) == []


def test_a_time_of_another_zone_is_the_same_time(rows: Rows) -> None:
    there = AT.astimezone(timezone(timedelta(hours=5)))
    rows.answers = [[request(5, b"a", at=there)]]
    found = spool.read(1, 5, 6)
    assert found is not None
    assert found.newest == MS
