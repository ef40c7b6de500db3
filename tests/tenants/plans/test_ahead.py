"""Calls let in ahead, before the real cache: few ask, none too many pass, all is given back."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import Any

import pytest
import redis

from tenants.plans import ahead, line
from tenants.plans.admission import OverLimit, admit
from tenants.plans.allowance import Allowance
from tests.tenants.plans import test_limits
from tests.tenants.plans.test_limits import Called, cache, passes

__all__ = ["cache"]

_tenants = count(2 * 10**12 + os.getpid() * 10**5)


def granted(tenant_id: int | None = None, **limits: int) -> Allowance:
    return test_limits.granted(next(_tenants) if tenant_id is None else tenant_id, **limits)


@pytest.fixture(autouse=True)
def nothing_kept() -> Iterator[None]:
    ahead.give_back()
    yield
    ahead.give_back()


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What the cache was asked by this thread: what is given back by another is not in it."""
    ask, mine, found = line.ask, threading.get_ident(), list[bytes]()

    def noted(command: bytes) -> object:
        if threading.get_ident() == mine:
            found.append(command)
        return ask(command)

    monkeypatch.setattr(line, "ask", noted)
    return found


def counted(cache: redis.Redis, plan: Any, name: str = "minute") -> int:
    (key,) = cache.keys(f"*{{{plan.tenant_id}}}:{name}")
    return int(cache.get(key) or 0)  # type: ignore[arg-type]


def held(cache: redis.Redis, plan: Any) -> int:
    return sum(cache.zcard(key) for key in cache.keys(f"*{{{plan.tenant_id}}}:queries"))  # type: ignore[misc]


def until(done: Any) -> None:
    deadline = time.monotonic() + 120
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_few_of_a_busy_keys_calls_ask_and_what_is_not_used_goes_back(
    cache: redis.Redis, asked: list[bytes]
) -> None:
    plan = granted(requests_a_minute=6_000, key_requests_a_minute=5_000, concurrent_queries=10)
    caller = Called(1, plan.tenant_id)
    for number in range(1, 201):
        admission = admit(caller, plan, query=True)
        minute, key, slots = admission.headers["RateLimit"].split(", ")
        assert minute.startswith(f'"requests_a_minute";r={6_000 - number};t=')
        assert key.startswith(f'"key_requests_a_minute";r={5_000 - number};t=')
        assert slots == '"concurrent_queries";r=9'
        admission.give_back()
    # With no pause of KEPT seconds, which a loaded machine may make, there are eight.
    assert len(asked) < 100
    until(lambda: counted(cache, plan) == 200 and held(cache, plan) == 0)
    assert counted(cache, plan, "key:1") == 200
    assert not ahead._aheads
    assert not ahead._slots


def test_a_call_now_and_then_asks_for_itself_alone(cache: redis.Redis) -> None:
    plan = granted(requests_a_minute=6_000, concurrent_queries=10)
    caller = Called(1, plan.tenant_id)
    for number in range(1, 4):
        admit(caller, plan, query=True).give_back()
        assert counted(cache, plan) == number
        until(lambda: held(cache, plan) == 0)


def test_a_slot_is_kept_only_while_most_are_free(cache: redis.Redis) -> None:
    plan = granted(concurrent_queries=4)
    caller = Called(1, plan.tenant_id)
    running = [admit(caller, plan, query=True) for _ in range(4)]
    assert not passes(lambda: admit(caller, plan, query=True))
    # The second of four left two: it is free at once, and another process may have it.
    running[1].give_back()
    line.ask(b"*1\r\n" + line.pack(b"PING"))
    assert held(cache, plan) == 3
    admit(caller, plan, query=True)
    assert not passes(lambda: admit(caller, plan, query=True))


def test_of_many_threads_no_more_pass_than_a_plan_of_thousands_allows(cache: redis.Redis) -> None:
    plan = granted(requests_a_minute=2_000, concurrent_queries=1_000)
    caller = Called(1, plan.tenant_id)

    def call(_: int) -> bool:
        try:
            admit(caller, plan, query=True).give_back()
        except OverLimit:
            return False
        return True

    with ThreadPoolExecutor(16) as pool:
        passed = sum(pool.map(call, range(3_000)))
        # What one thread had kept when another was refused goes back, and may be used.
        until(lambda: counted(cache, plan) == passed)
        passed += sum(pool.map(call, range(500)))
    assert passed == 2_000
    until(lambda: held(cache, plan) == 0)
    assert counted(cache, plan) == 2_000


def test_what_was_kept_of_a_minute_that_ended_is_not_used_nor_given_back(
    cache: redis.Redis, asked: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    # A loaded machine may pause for longer than it is kept.
    monkeypatch.setattr(ahead, "KEPT", 2.0)
    plan = granted(requests_a_minute=6_000)
    caller = Called(1, plan.tenant_id)
    for _ in range(2):
        admit(caller, plan)
    (kept,) = ahead._aheads
    assert kept.calls == ahead.MOST - 1
    kept.ends = [time.monotonic()]
    (key,) = cache.keys(f"*{{{plan.tenant_id}}}:minute")
    cache.delete(key)
    known = len(asked)
    admit(caller, plan)
    assert len(asked) == known + 1
    until(lambda: not ahead._aheads)
    assert counted(cache, plan) == 1


def test_what_is_told_of_free_slots_is_what_the_cache_told(cache: redis.Redis) -> None:
    plan = granted(concurrent_queries=10)
    caller = Called(1, plan.tenant_id)
    for _ in range(3):
        # As it is looked up anew, twice a second: a slot is kept from before, and nothing is known.
        renewed = granted(plan.tenant_id, concurrent_queries=10)
        admission = admit(caller, renewed, query=True)
        assert admission.headers["RateLimit"] == '"concurrent_queries";r=9'
        admission.give_back()


def test_a_plan_that_was_made_smaller_counts_at_once(cache: redis.Redis) -> None:
    plan = granted(requests_a_minute=6_000)
    caller = Called(1, plan.tenant_id)
    for _ in range(5):
        admit(caller, plan)
    smaller = granted(plan.tenant_id, requests_a_minute=5)
    with pytest.raises(OverLimit):
        admit(caller, smaller)
