"""Permits: a connection's slices take them by age, and no slice holds up the others."""

from __future__ import annotations

import gc
from threading import Event

import pytest

from ingestion.consume.scheduling import insert_slots
from ingestion.consume.scheduling.insert_slots import COUNTED, FRESH, Permits


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def two(clock: Clock) -> Permits:
    return Permits(2, clock)


def test_one_slice_alone_has_all(two: Permits) -> None:
    alone = Event()
    assert [two.take(alone, since) for since in (5.0, 9.0, 1.0)] == [True, True, False]
    two.give(alone)
    assert alone.is_set()
    assert two.take(alone, 7.0)


def test_who_has_something_older_goes_first(two: Permits) -> None:
    old, young = Event(), Event()
    assert two.take(old, 1.0)
    assert two.take(old, 2.0)
    assert not two.take(old, 3.0)
    assert not two.take(young, 8.0)
    two.give(old)
    assert old.is_set()
    assert young.is_set()
    assert not two.take(young, 8.0)
    assert two.take(old, 3.0)
    # Its next batch is younger than the other slice's.
    assert not two.take(old, 9.0)
    two.give(old)
    assert not two.take(old, 9.0)
    assert two.take(young, 8.0)


def test_a_slice_that_hangs_holds_up_nobody_for_long(two: Permits, clock: Clock) -> None:
    hanging, other = Event(), Event()
    for _ in range(2):
        two.take(other, 0.0)
    assert not two.take(hanging, 1.0)
    two.give(other)
    assert not two.take(other, 5.0)
    clock.now += FRESH + 0.1
    assert two.take(other, 5.0)


def test_inserts_that_hang_hold_up_no_other_slice_for_long(two: Permits, clock: Clock) -> None:
    hanging, other = Event(), Event()
    assert two.take(hanging, 0.0)
    assert two.take(hanging, 0.0)
    assert not two.take(other, 1.0)
    clock.now += COUNTED
    assert two.take(other, 1.0)
    assert two.take(other, 2.0)
    assert not two.take(other, 3.0)


def test_a_slice_that_ends_leaves_nothing(two: Permits) -> None:
    gone, other = Event(), Event()
    for _ in range(3):
        two.take(gone, 1.0)
    assert not two.take(other, 5.0)
    two.forget(gone)
    assert other.is_set()
    assert two.take(other, 5.0)
    # Its inserts under way end later, and must not free a permit a second time.
    two.give(gone)
    assert two.take(other, 6.0)
    assert not two.take(other, 7.0)


def test_each_connection_has_its_own() -> None:
    first = insert_slots.of(10**9)
    assert insert_slots.of(10**9) is first
    assert insert_slots.of(10**9 + 1) is not first
    del first
    gc.collect()
    assert 10**9 not in insert_slots._by_connection
