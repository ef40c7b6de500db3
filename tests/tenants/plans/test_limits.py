"""The limits of plans before the real cache: exactly as many calls pass as the plan allows."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import redis
from django.conf import settings

from millrace.embedded.pytest_plugin import HOME
from tenants.plans import admission, line
from tenants.plans.admission import OverLimit, admit, take_in
from tenants.plans.allowance import Allowance, PlanLimits, Used

ROOT = Path(__file__).resolve().parents[3]
#: Of this process alone: xdist's processes share a cache.
_tenants = count(10**12 + os.getpid() * 10**5)


@dataclass(frozen=True)
class Called:
    key_id: int
    tenant_id: int
    rate: int | None = None
    subject: str = ""


@pytest.fixture(autouse=True)
def cache(valkey: str) -> Iterator[redis.Redis]:
    line.forget()
    line._away_until = 0.0
    with redis.Redis.from_url(settings.CACHES["default"]["LOCATION"]) as client:
        yield client


def granted(tenant_id: int | None = None, used: Used = Used(), **limits: int) -> Allowance:  # noqa: B008
    number = next(_tenants) if tenant_id is None else tenant_id
    return Allowance(number, "basic", PlanLimits(**limits), datetime.now(UTC).date(), used)


def passes(what: Callable[[], Any]) -> bool:
    try:
        what()
    except OverLimit:
        return False
    return True


def test_as_many_calls_a_minute_pass_as_the_plan_allows_and_the_headers_count_down() -> None:
    plan = granted(requests_a_minute=3, key_requests_a_minute=2)
    one, other = Called(1, plan.tenant_id), Called(2, plan.tenant_id)
    first = admit(one, plan).headers
    assert first["RateLimit-Policy"] == (
        '"requests_a_minute";q=3;w=60, "key_requests_a_minute";q=2;w=60'
    )
    assert first["RateLimit"] == '"requests_a_minute";r=2;t=60, "key_requests_a_minute";r=1;t=60'
    admit(one, plan)
    with pytest.raises(OverLimit) as refused:
        admit(one, plan)
    assert (refused.value.limit, refused.value.value) == ("key_requests_a_minute", 2)
    assert 1 <= refused.value.again <= 60
    assert admit(other, plan).headers["RateLimit"].startswith('"requests_a_minute";r=0;')
    with pytest.raises(OverLimit) as refused:
        admit(other, plan)
    assert refused.value.limit == "requests_a_minute"


def test_a_call_that_is_refused_counts_towards_nothing() -> None:
    plan = granted(requests_a_minute=100, key_requests_a_minute=1)
    admit(Called(1, plan.tenant_id), plan)
    for _ in range(5):
        assert not passes(lambda: admit(Called(1, plan.tenant_id), plan))
    assert (
        admit(Called(2, plan.tenant_id), plan)
        .headers["RateLimit"]
        .startswith('"requests_a_minute";r=98;')
    )


def test_a_minute_ends(cache: redis.Redis) -> None:
    plan = granted(requests_a_minute=1)
    caller = Called(1, plan.tenant_id)
    admit(caller, plan)
    assert not passes(lambda: admit(caller, plan))
    (key,) = cache.keys(f"*{{{plan.tenant_id}}}*")
    assert 0 < cache.pttl(key) <= 60_000
    cache.pexpire(key, 1)
    time.sleep(0.01)
    admit(caller, plan)


def test_a_token_has_a_rate_of_its_own() -> None:
    plan = granted()
    ann, bob = (Called(1, plan.tenant_id, rate=1, subject=one) for one in ("ann", "bob"))
    admit(ann, plan)
    with pytest.raises(OverLimit) as refused:
        admit(ann, plan)
    assert (refused.value.limit, refused.value.value) == ("token_rate", 1)
    admit(bob, plan)


def test_without_a_limit_the_cache_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line, "ask", lambda _: pytest.fail("asked"))
    plan = granted(retention_days=3)
    assert admit(Called(1, plan.tenant_id), plan, query=True).headers == {}
    take_in(plan, 10**9, 10**12)


def test_slots_are_given_back_and_one_that_is_not_ends_by_itself(cache: redis.Redis) -> None:
    plan = granted(concurrent_queries=2)
    caller = Called(1, plan.tenant_id)
    first, second = (admit(caller, plan, query=True) for _ in range(2))
    assert second.headers["RateLimit"] == '"concurrent_queries";r=0'
    with pytest.raises(OverLimit) as refused:
        admit(caller, plan, query=True)
    assert (refused.value.limit, refused.value.value) == ("concurrent_queries", 2)
    admit(caller, plan)
    first.give_back()
    first.give_back()
    admit(caller, plan, query=True)
    # Its process was killed, and its lease is over.
    (key,) = cache.keys(f"*{{{plan.tenant_id}}}:queries")
    lease = (settings.MILLRACE_QUERY_SECONDS + admission.SLOT_GRACE) * 1000
    assert lease - 5_000 < cache.pttl(key) <= lease
    cache.zadd(key, {cache.zrange(key, 0, 0)[0]: 1})
    admit(caller, plan, query=True)
    assert not passes(lambda: admit(caller, plan, query=True))


def test_events_count_by_the_day_with_what_brokers_brought() -> None:
    used = Used(events=60, bytes=600, brokered_events=50, brokered_bytes=500)
    plan = granted(used=used, events_a_day=100, bytes_a_day=10_000)
    take_in(plan, 30, 300)
    with pytest.raises(OverLimit) as refused:
        take_in(plan, 11, 110)
    assert (refused.value.limit, refused.value.value) == ("events_a_day", 100)
    assert 0 < refused.value.again <= 86_401
    assert f"t={refused.value.again}" in refused.value.headers["RateLimit"]
    last = take_in(plan, 10, 100)
    assert not passes(lambda: take_in(plan, 1, 1))
    last.give_back()
    take_in(plan, 10, 100)


def test_a_day_whose_rows_are_read_ends_with_the_next_query() -> None:
    plan = granted(used=Used(rows_read=100), rows_read_a_day=100)
    with pytest.raises(OverLimit) as refused:
        admit(Called(1, plan.tenant_id), plan, query=True)
    assert (refused.value.limit, refused.value.value) == ("rows_read_a_day", 100)
    admit(Called(1, plan.tenant_id), plan)


def test_of_many_threads_exactly_as_many_calls_pass_as_the_plan_allows() -> None:
    plan = granted(requests_a_minute=100, concurrent_queries=40)
    caller = Called(1, plan.tenant_id)
    with ThreadPoolExecutor(16) as pool:
        some = list(pool.map(lambda _: passes(lambda: admit(caller, plan)), range(300)))
    assert sum(some) == 100
    plan = granted(concurrent_queries=40)
    with ThreadPoolExecutor(16) as pool:
        some = list(pool.map(lambda _: passes(lambda: admit(caller, plan, query=True)), range(300)))
    assert sum(some) == 40


_HAMMER = """
import json, sys, django
django.setup()
from datetime import UTC, datetime
from concurrent.futures import ThreadPoolExecutor
from tenants.plans.admission import OverLimit, admit, take_in
from tenants.plans.allowance import Allowance, PlanLimits
class Called: key_id, tenant_id = 1, int(sys.argv[1])
plan = Allowance(Called.tenant_id, "p", PlanLimits(requests_a_minute=100, events_a_day=1000),
                 datetime.now(UTC).date())
def passes(what):
    try: what()
    except OverLimit: return False
    return True
print("ready", flush=True); sys.stdin.readline()
with ThreadPoolExecutor(4) as pool:
    calls = sum(pool.map(lambda _: passes(lambda: admit(Called, plan)), range(100)))
    events = sum(pool.map(lambda _: passes(lambda: take_in(plan, 7, 70)), range(100)))
print(json.dumps([calls, events]), flush=True)
"""


@pytest.mark.slow
def test_of_two_processes_exactly_as_many_calls_pass_as_the_plan_allows() -> None:
    tenant = next(_tenants)
    environment = {"DJANGO_SETTINGS_MODULE": "millrace.settings", "MILLRACE_HOME": str(HOME)}
    hammers = [
        subprocess.Popen(
            [sys.executable, "-c", _HAMMER, str(tenant)],
            cwd=ROOT,
            env={**os.environ, **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    for one in hammers:
        assert one.stdout is not None
        assert one.stdout.readline() == "ready\n"
    outcomes = []
    for one in hammers:
        assert one.stdin is not None
        one.stdin.write("go\n")
        one.stdin.flush()
    for one in hammers:
        out, _ = one.communicate(timeout=120)
        outcomes.append(json.loads(out))
    assert sum(calls for calls, _ in outcomes) == 100
    assert sum(events for _, events in outcomes) == 1000 // 7
