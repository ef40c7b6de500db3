"""A process's threads shared among tenants: who is let in, who waits, who is refused."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import SimpleQueue

import pytest

from tenants.plans.threads import LEAST, LONGEST, Busy, HeldThread, Threads


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def held(threads: Threads, owner: str, weight: int = 1) -> int:
    """How many places an owner gets that takes as many as it can, at a time when none ends."""
    for _ in range(threads.number + 1):
        threads.clock.now += LONGEST  # type: ignore[attr-defined]
        try:
            threads.take(owner, weight)
        except Busy as busy:
            return busy.held
    return threads._holders[owner].held


@pytest.mark.parametrize(
    ("number", "shares"),
    [(2, [1, 1]), (3, [2, 1]), (4, [2, 1, 1]), (8, [4, 2, 1, 1]), (16, [8, 4, 2, 1, 1])],
)
def test_each_tenant_may_hold_as_many_threads_as_are_free(
    number: int, shares: list[int], clock: Clock
) -> None:
    threads = Threads(number, clock)
    assert [held(threads, str(one)) for one in range(len(shares))] == shares


def test_a_weight_counts_and_gives_nobody_all_of_them(clock: Clock) -> None:
    assert held(Threads(9, clock), "a", 2) == 6
    assert held(Threads(8, clock), "a", 100) == 7
    assert held(Threads(2, clock), "a", 100) == 1


def test_who_holds_nothing_is_always_let_in(clock: Clock) -> None:
    """Its call has a thread already, and the server may have more than it was said to have."""
    threads = Threads(2, clock)
    for owner in range(20):
        threads.take(owner)


def test_a_place_that_is_left_is_free_again_and_only_once(clock: Clock) -> None:
    threads = Threads(4, clock)
    places = [threads.take("a") for _ in range(2)]
    clock.now += LONGEST
    with pytest.raises(Busy):
        threads.take("a")
    places[0].leave()
    places[0].leave()
    threads.take("a")
    clock.now += LONGEST
    with pytest.raises(Busy):
        threads.take("a")
    places[1].leave()
    assert held(threads, "b") == 2


@contextmanager
def waiting(threads: Threads, *owners: str) -> Iterator[SimpleQueue[tuple[str, HeldThread]]]:
    """Calls that wait, each in a thread, in this order; what is let in comes into the queue."""
    outcome: SimpleQueue[tuple[str, HeldThread]] = SimpleQueue()

    def take(owner: str) -> None:
        outcome.put((owner, threads.take(owner)))

    started = []
    for owner in owners:
        known = len(threads._queue)
        started.append(threading.Thread(target=take, args=(owner,), daemon=True))
        started[-1].start()
        until(lambda known=known: len(threads._queue) > known)
    yield outcome
    for one in started:
        one.join(120)
        assert not one.is_alive()


def until(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_one_that_waits_is_let_in_when_a_call_of_its_tenant_ends(clock: Clock) -> None:
    threads = Threads(8, clock)
    places = [threads.take("a") for _ in range(4)]
    with waiting(threads, "a") as let_in:
        places.pop().leave()
        assert let_in.get(timeout=120)[0] == "a"
    assert not threads._queue


def test_of_those_that_wait_the_tenant_that_holds_least_is_first(clock: Clock) -> None:
    threads = Threads(8, clock)
    places = [threads.take("a") for _ in range(4)]
    for _ in range(2):
        threads.take("b")
    with waiting(threads, "a", "b") as let_in:
        # Three of eight are free, and b holds two.
        places.pop().leave()
        assert let_in.get(timeout=120)[0] == "b"
        places.pop().leave()
        assert let_in.empty()
        places.pop().leave()
        assert let_in.get(timeout=120)[0] == "a"


def test_the_fewer_threads_are_left_the_shorter_one_waits(clock: Clock) -> None:
    threads = Threads(4, clock)
    for _ in range(2):
        threads.take("a")
    holder = threads._holders["a"]
    assert threads._patience(holder) == pytest.approx(LONGEST / 2)
    threads.take("b")
    threads.take("c")
    assert threads._patience(holder) == pytest.approx(LEAST)
    clock.now += LEAST
    with pytest.raises(Busy) as refused:
        threads.take("a")
    assert refused.value.held == 2
    assert not threads._queue
    assert holder.waiting == 0


def test_many_threads_that_come_and_go_leave_nothing_behind() -> None:
    threads = Threads(8)
    refused: SimpleQueue[str] = SimpleQueue()

    def call(owner: str) -> None:
        for _ in range(200):
            try:
                place = threads.take(owner)
            except Busy:
                refused.put(owner)
            else:
                time.sleep(0)
                place.leave()

    callers = [threading.Thread(target=call, args=(owner,)) for owner in "aaaaaabbc"]
    for one in callers:
        one.start()
    for one in callers:
        one.join()
    assert (threads._held, threads._queue, threads._holders) == (0, [], {})
    # It never held more than one.
    assert "c" not in [refused.get() for _ in range(refused.qsize())]
