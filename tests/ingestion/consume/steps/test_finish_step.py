"""Step finish: what Postgres stores about inserts that have ended."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from ingestion.batches import announce
from ingestion.consume.insert_pool import InsertResult
from ingestion.consume.steps import finish
from ingestion.errors import LeaseLost
from tenants.warehouse.errors import RunningAlready, WarehouseUnreachable
from tests.ingestion.consume.slice_of_fakes import FakeSlice


@pytest.fixture(autouse=True)
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Mapping[Any, Any]]:
    """What Postgres is asked to finish; sources with an odd key have lost their lease."""
    asked: list[Mapping[Any, Any]] = []

    def finished(_: str, intents: Mapping[Any, Any]) -> set[Any]:
        asked.append(intents)
        return {one.token for held, one in intents.items() if held.source_id % 2 == 0}

    monkeypatch.setattr(announce, "finish", finished)
    return asked


def test_what_has_landed_is_counted_and_is_to_be_committed(fakes: FakeSlice) -> None:
    reader = fakes.reader(2)
    batch = fakes.inserts(reader, rows=5)
    token = batch.batch.intent.token
    fakes.lands(batch, misfits=1)
    finish.run(fakes.state, 100.0)
    assert (fakes.state.rows, batch.buffer.position, batch.buffer.under_way) == (5, 5, None)
    assert reader.done[token].misfits == 1
    assert reader.uncommitted == {0: 5}
    assert fakes.state.uncommitted == [reader]
    assert fakes.done() == [], "The broker is told by another step."


def test_all_that_has_ended_is_one_statement(
    fakes: FakeSlice, asked: list[Mapping[Any, Any]]
) -> None:
    batches = [fakes.inserts(fakes.reader(key)) for key in (2, 4, 6)]
    for batch in batches:
        fakes.lands(batch)
    finish.run(fakes.state, 100.0)
    assert [len(intents) for intents in asked] == [3]


def test_an_owner_that_lost_its_lease_commits_nothing(fakes: FakeSlice) -> None:
    lost, kept = fakes.reader(1), fakes.reader(2)
    for reader in (lost, kept):
        fakes.lands(fakes.inserts(reader))
    finish.run(fakes.state, 100.0)
    assert isinstance(fakes.errors[1], LeaseLost)
    assert lost.uncommitted == {}
    assert not any(lost.done)
    assert (fakes.state.readers, fakes.state.rows) == ([kept], 1)


def test_an_insert_that_failed_is_not_finished_and_its_source_says_why(
    fakes: FakeSlice, asked: list[Mapping[Any, Any]]
) -> None:
    away, other = fakes.reader(2), fakes.reader(4)
    failed = fakes.inserts(away)
    error = WarehouseUnreachable("away")
    fakes.pool.results.append(InsertResult(failed, error=error))
    fakes.lands(fakes.inserts(other))
    finish.run(fakes.state, 100.0)
    assert fakes.errors == {2: error}
    assert failed.buffer.position == 0
    assert [held.source_id for held in asked[0]] == [4]
    assert fakes.state.readers == [other]


def test_a_batch_that_another_inserts_has_another_owner(fakes: FakeSlice) -> None:
    """That is no failure of the source, which its new owner reads."""
    reader = fakes.reader(2)
    fakes.pool.results.append(InsertResult(fakes.inserts(reader), error=RunningAlready("same id")))
    finish.run(fakes.state, 100.0)
    assert isinstance(fakes.errors[2], LeaseLost)
    assert (fakes.state.readers, reader.uncommitted) == ([], {})
