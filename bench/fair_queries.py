"""How one tenant's slow queries slow down another: its small call alone, and beside ten of them.

Both tenants call one web server with two processes. Each of the ten calls again as soon as it is
answered or, if it is refused, after Retry-After. ClickHouse works for all of them, so a part of the
other tenant's wait is ClickHouse's.
"""

from __future__ import annotations

import argparse
import statistics
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import urllib3

from bench import query
from bench.installation import Installation
from bench.report import Result
from bench.servers import granian

SLOW_CALLS = 10
#: Takes some seconds on one core; ten at once on two cores take at least six seconds each.
SLOW = "SELECT max(sipHash64(toString(number))) AS m FROM numbers({rows:UInt64})"
ROWS = 12_000_000
#: Seconds between two calls of the other tenant. Each call opens its own connection.
EVERY = 0.05


def run(installation: Installation, given: argparse.Namespace) -> list[Result]:
    query.prepare(installation)
    key = _hog(installation)
    with granian("millrace.wsgi:application", "wsgi", {}) as server:
        small = f"{server.url}/api/v1/queries/by_country?below=5000"
        slow = f"{server.url}/api/v1/queries/slow?rows={ROWS}"
        _waits(small, installation.key, 1)
        alone = _waits(small, installation.key, 2 * given.seconds)
        with _asking(slow, key) as answers:
            time.sleep(1)
            beside = _waits(small, installation.key, 5 * given.seconds)
    return [*_results("alone", alone, alone), *_results("beside ten slow queries", beside, alone),
            *_answered(answers)]  # fmt: skip


def _hog(installation: Installation) -> str:
    """Create a tenant with a slow query; returns its API key."""
    from analytics_api.models import SavedQuery
    from analytics_api.services.saved_queries import publish
    from tenants.services.keys import create_key

    tenant = installation.make_tenant("slow")
    publish(SavedQuery.objects.create(tenant=tenant, name="slow", sql=SLOW))
    return create_key(tenant, "bench")[1]


def _headers(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def _waits(url: str, key: str, seconds: float) -> list[float]:
    """Milliseconds that each of a sequence of calls took."""
    waits = []
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        began = time.perf_counter()
        answer = urllib3.request("GET", url, headers=_headers(key) | {"Connection": "close"})
        waits.append((time.perf_counter() - began) * 1_000)
        if answer.status != 200:
            raise RuntimeError(answer.data.decode())
        time.sleep(EVERY)
    return waits


@contextmanager
def _asking(url: str, key: str) -> Iterator[list[tuple[int, float]]]:
    """Make slow calls in the background; collects the status and the seconds of each."""
    over, answers = threading.Event(), list[tuple[int, float]]()
    pool = urllib3.PoolManager(maxsize=SLOW_CALLS)

    def ask() -> None:
        while not over.is_set():
            began = time.perf_counter()
            answer: Any = pool.request("GET", url, headers=_headers(key), timeout=60)
            answers.append((answer.status, time.perf_counter() - began))
            over.wait(float(answer.headers.get("Retry-After", 0)))

    threads = [threading.Thread(target=ask) for _ in range(SLOW_CALLS)]
    for thread in threads:
        thread.start()
    try:
        yield answers
    finally:
        over.set()
        for thread in threads:
            thread.join()


def _results(name: str, waits: list[float], alone: list[float]) -> list[Result]:
    """The median and the 95th percentile, with their ratios to those of the call alone."""
    p50, p50_alone = statistics.median(waits), statistics.median(alone)
    p95, p95_alone = (statistics.quantiles(times, n=20)[-1] for times in (waits, alone))
    note = f"{len(waits)} calls"
    return [
        Result(f"another tenant's call {name}, p50", p50, "ms", p50 / p50_alone, note=note),
        Result(f"another tenant's call {name}, p95", p95, "ms", p95 / p95_alone, note=note),
    ]


def _answered(answers: list[tuple[int, float]]) -> list[Result]:
    counts = Counter(status for status, _ in answers)
    note = ", ".join(f"{status}: {count}" for status, count in sorted(counts.items()))
    times = [seconds for status, seconds in answers if status == 200] or [0.0]
    return [Result("a slow query, p50", statistics.median(times), "s", note=note)]
