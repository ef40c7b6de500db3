"""Step wait: how long a slice waits, and what ends the wait."""

from __future__ import annotations

import pytest

from ingestion.consume.scheduling.idle_strategy import NAP, REST, STEP
from ingestion.consume.steps import wait
from ingestion.errors import BrokerUnreachable
from tests.ingestion.consume.slice_of_fakes import FakeSlice


@pytest.fixture
def idle(fakes: FakeSlice) -> FakeSlice:
    """A slice after a turn that took 2 ms, has polled, and has made no progress."""
    fakes.reader(1)
    fakes.state.heartbeat_at = 105.0
    fakes.state.has_looked = True
    fakes.state.turn_began_at, fakes.clock.now = 99.998, 100.0
    return fakes


def run(fakes: FakeSlice) -> None:
    wait.run(fakes.state, fakes.clock.now)


def test_after_progress_it_goes_on_at_once(idle: FakeSlice) -> None:
    idle.state.progress, idle.state.was_woken = 1, True
    run(idle)
    assert (idle.woken.waits, idle.done(), idle.state.was_woken) == ([], [], False)


def test_with_nothing_in_its_hands_it_rests_until_a_message_comes(idle: FakeSlice) -> None:
    idle.broker.comes_after = 0.6
    run(idle)
    assert idle.clock.now == pytest.approx(100.75)
    assert len(idle.done("wait")) == 3
    assert idle.state.was_woken
    assert idle.state.readers[0].polled_at == idle.clock.now
    assert idle.state.idle_turn_seconds == pytest.approx(0.002)


@pytest.mark.parametrize(
    ("heartbeat", "end", "until"), [(109, 110, 100 + REST), (100.3, 110, 100.3)]
)
def test_a_rest_lasts_a_second_or_until_the_next_heartbeat(
    idle: FakeSlice, heartbeat: float, end: float, until: float
) -> None:
    idle.state.heartbeat_at, idle.state.ends_at = heartbeat, end
    run(idle)
    assert idle.clock.now == pytest.approx(until)
    assert not idle.state.was_woken


def test_a_rest_ends_with_the_slice(idle: FakeSlice) -> None:
    idle.state.ends_at = 100.1
    run(idle)
    assert idle.clock.now == pytest.approx(100.1)


def test_a_worker_that_is_told_to_stop_ends_its_rest_within_a_step(idle: FakeSlice) -> None:
    idle.should_stop = True
    run(idle)
    assert idle.clock.now <= 100.0 + STEP


def test_what_is_held_lets_it_nap_only(idle: FakeSlice) -> None:
    idle.holds(idle.state.readers[0])
    run(idle)
    assert (idle.woken.waits, idle.done("wait")) == ([NAP], [])


def test_a_turn_that_has_not_looked_naps_only(idle: FakeSlice) -> None:
    idle.state.has_looked = False
    run(idle)
    assert (len(idle.woken.waits), idle.done("wait")) == (1, [])


def test_what_wakes_it_and_brings_nothing_does_so_once(idle: FakeSlice) -> None:
    idle.broker.comes_after = 0.0
    run(idle)
    run(idle)
    assert (len(idle.done("wait")), len(idle.woken.waits)) == (1, 1)
    assert not idle.state.was_woken


def test_where_the_broker_fails_while_it_rests_all_leave(idle: FakeSlice) -> None:
    error = BrokerUnreachable("away")
    idle.broker.fails_at["wait"] = error
    run(idle)
    assert (idle.state.readers, idle.errors) == ([], {1: error})


def test_without_readers_it_does_not_wait(idle: FakeSlice) -> None:
    idle.state.readers = []
    run(idle)
    assert (idle.woken.waits, idle.done()) == ([], [])


@pytest.mark.parametrize(("inserts", "seconds"), [(0, NAP), (1, wait.DRAIN_WAIT)])
def test_at_the_end_it_waits_for_inserts(idle: FakeSlice, inserts: int, seconds: float) -> None:
    idle.state.is_draining = True
    idle.pool.submitted = [([], lambda: None)] * inserts
    run(idle)
    assert idle.woken.waits == [seconds]
