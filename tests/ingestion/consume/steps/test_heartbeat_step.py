"""Step heartbeat: which leases are kept, which readers leave, and when the next one is due."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import pytest

from ingestion.consume.steps import heartbeat
from ingestion.errors import BrokerUnreachable
from ingestion.leases import lease, rebalance, yielding
from tests.ingestion.consume.slice_of_fakes import FakeSlice


@pytest.fixture
def books(monkeypatch: pytest.MonkeyPatch) -> dict[str, set[int]]:
    """Postgres' answers: partitions ``lost``, sources ``changed`` or given ``away``."""
    said: dict[str, set[int]] = {"lost": set(), "changed": set(), "away": set()}

    def renew(_: str, ids: Collection[int]) -> set[int]:
        return set(ids) - said["lost"]

    monkeypatch.setattr(lease, "renew", renew)
    monkeypatch.setattr(yielding, "changed", lambda _: set(said["changed"]))
    monkeypatch.setattr(rebalance, "give_way", lambda _: said["away"])
    return said


def keys(fakes: FakeSlice) -> list[int]:
    return [reader.source.pk for reader in fakes.state.readers]


@pytest.mark.usefixtures("books")
def test_it_comes_at_its_time(fakes: FakeSlice) -> None:
    fakes.reader(1)
    fakes.state.heartbeat_at = 100.5
    heartbeat.run(fakes.state, 100.4)
    assert (fakes.done(), fakes.state.is_settle_due) == ([], False)
    fakes.clock.now = 100.5
    heartbeat.run(fakes.state, 100.5)
    assert fakes.done() == [("keep_alive", "s1")]
    assert fakes.state.is_settle_due


def test_what_is_lost_changed_or_given_away_leaves_and_nothing_else(
    fakes: FakeSlice, books: dict[str, set[int]]
) -> None:
    for key in range(1, 6):
        fakes.reader(key, partitions=2)
    # One lost partition of two is enough, because a source is read as a whole.
    books |= {"lost": {21}, "changed": {3}, "away": {4}}
    heartbeat.run(fakes.state, 100.0)
    assert keys(fakes) == [1, 5]
    assert fakes.errors == {}
    assert sorted(fakes.released) == [20, 21, 30, 31, 40, 41]


def test_a_link_that_is_lost_is_the_failure_of_its_source_alone(
    fakes: FakeSlice, books: dict[str, set[int]]
) -> None:
    error = BrokerUnreachable("away")
    stream: Any = fakes.reader(1).stream
    stream.fails_at["keep_alive"] = error
    fakes.reader(2)
    heartbeat.run(fakes.state, 100.0)
    assert (keys(fakes), fakes.errors) == ([2], {1: error})


@pytest.mark.usefixtures("books")
@pytest.mark.parametrize(
    ("brought_at", "took", "pause"),
    [(None, 0.0, lease.IDLE_BEAT), (99.0, 0.0, lease.BEAT), (99.0, 0.1, 2.0), (99.0, 9.0, 3.0)],
)
def test_the_next_one_is_due_by_what_this_one_took(
    fakes: FakeSlice,
    monkeypatch: pytest.MonkeyPatch,
    settings: Any,
    brought_at: float | None,
    took: float,
    pause: float,
) -> None:
    settings.MILLRACE_LEASE_SECONDS = 30
    fakes.reader(1).brought_at = brought_at

    def slow(_: Collection[Any]) -> set[int]:
        fakes.clock.now += took
        return set()

    monkeypatch.setattr(yielding, "changed", slow)
    heartbeat.run(fakes.state, 100.0)
    assert fakes.state.heartbeat_at == pytest.approx(100.0 + pause)
