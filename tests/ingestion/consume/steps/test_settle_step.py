"""Step settle: which batches are counted and closed, and which readers leave as a result."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from ingestion.batches import settle as books
from ingestion.batches.batch import BatchStats
from ingestion.consume.source_reader import SourceReader
from ingestion.consume.steps import settle
from ingestion.monitoring import quarantine_limit
from tenants.plans import holds
from tenants.warehouse.errors import WarehouseUnreachable
from tests.ingestion.consume.slice_of_fakes import FakeSlice


@pytest.fixture(autouse=True)
def closed(monkeypatch: pytest.MonkeyPatch) -> list[set[uuid.UUID]]:
    """The batches that each statement closes."""
    closed: list[set[uuid.UUID]] = []
    monkeypatch.setattr(books, "close", lambda batches: closed.append(set(batches)))
    return closed


@pytest.fixture(autouse=True)
def limits(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The sources ``asked`` about, those ``beyond`` their limit, and the tenants ``held``."""
    said: dict[str, Any] = {"asked": [], "beyond": set(), "held": []}

    def pause_beyond(sources: list[Any]) -> set[int]:
        said["asked"].append([source.pk for source in sources])
        return set(said["beyond"])

    monkeypatch.setattr(quarantine_limit, "pause_beyond", pause_beyond)
    monkeypatch.setattr(holds, "refresh", said["held"].append)
    return said


def done(reader: SourceReader, misfits: int = 0) -> uuid.UUID:
    """Let a batch of the reader have landed."""
    token = uuid.uuid4()
    reader.done[token] = BatchStats((), misfits)
    return token


def run(fakes: FakeSlice) -> None:
    fakes.state.is_settle_due = True
    settle.run(fakes.state, 100.0)


def test_it_follows_a_heartbeat_and_nothing_else(
    fakes: FakeSlice, closed: list[set[uuid.UUID]]
) -> None:
    done(fakes.reader(1))
    settle.run(fakes.state, 100.0)
    assert closed == []
    run(fakes)
    assert not fakes.state.is_settle_due
    settle.run(fakes.state, 100.0)
    assert len(closed) == 1


def test_the_batches_of_all_sources_are_closed_by_one_statement(
    fakes: FakeSlice, closed: list[set[uuid.UUID]]
) -> None:
    first, second = fakes.reader(1), fakes.reader(2)
    tokens = {done(first), done(first), done(second)}
    run(fakes)
    assert closed == [tokens]
    assert (first.done, second.done) == ({}, {})


def test_a_table_that_can_not_be_asked_keeps_its_batches_for_later(
    fakes: FakeSlice, closed: list[set[uuid.UUID]]
) -> None:
    error = WarehouseUnreachable("away")
    away, other = fakes.reader(1), fakes.reader(2)
    done(away)
    stream: Any = away.stream
    stream.fails_at["flush"] = error
    token = done(other)
    run(fakes)
    assert {token} in closed
    assert (fakes.errors, fakes.state.readers) == ({1: error}, [other])
    assert len(away.done) == 1


def test_a_source_beyond_its_limit_leaves_and_nobody_is_asked_while_all_fits(
    fakes: FakeSlice, limits: dict[str, Any]
) -> None:
    good, bad, worse = (fakes.reader(key) for key in (1, 2, 3))
    done(good)
    run(fakes)
    assert limits["asked"] == []
    done(bad, misfits=1)
    done(worse, misfits=9)
    limits["beyond"] = {3}
    run(fakes)
    assert limits["asked"] == [[2, 3]]
    assert (fakes.state.readers, fakes.errors) == ([good, bad], {})
    run(fakes)
    assert limits["asked"] == [[2, 3]], "What was looked at is not looked at again."


def test_tenants_with_a_plan_are_looked_at_when_something_was_counted(
    fakes: FakeSlice, limits: dict[str, Any]
) -> None:
    planned, free = fakes.reader(1, tenant=7), fakes.reader(2, tenant=8)
    planned.source.tenant.plan_id = 3
    run(fakes)
    assert limits["held"] == []
    done(free)
    run(fakes)
    assert limits["held"] == [{7}]
