"""What one tenant's slow queries cost another: its small call by itself, and beside ten of them.

Both ask one web server with two processes. The ten ask again as soon as they are answered, or,
where they are refused, when they were told to. The engine works for all of them, so a part of what
the other waits is the engine's.
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
#: Takes some seconds of one core; ten at once on two cores some six seconds each at the least.
SLOW = "SELECT max(sipHash64(toString(number))) AS m FROM numbers({rows:UInt64})"
ROWS = 12_000_000
#: Seconds between two calls of the other tenant, each on a connection of its own.
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
    """A tenant whose query is slow; its key."""
    from analytics_api.models import SavedQuery
    from analytics_api.services.saved_queries import publish
    from tenants.services.keys import create_key

    tenant = installation.make_tenant("slow")
    publish(SavedQuery.objects.create(tenant=tenant, name="slow", sql=SLOW))
    return create_key(tenant, "bench")[1]


def _headers(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def _waits(url: str, key: str, seconds: float) -> list[float]:
    """Milliseconds that each call took, one after the other."""
    found = []
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        began = time.perf_counter()
        answer = urllib3.request("GET", url, headers=_headers(key) | {"Connection": "close"})
        found.append((time.perf_counter() - began) * 1_000)
        if answer.status != 200:
            raise RuntimeError(answer.data.decode())
        time.sleep(EVERY)
    return found


@contextmanager
def _asking(url: str, key: str) -> Iterator[list[tuple[int, float]]]:
    """Slow calls in the background: of each the status, and the seconds that it took."""
    over, found = threading.Event(), list[tuple[int, float]]()
    pool = urllib3.PoolManager(maxsize=SLOW_CALLS)

    def ask() -> None:
        while not over.is_set():
            began = time.perf_counter()
            answer: Any = pool.request("GET", url, headers=_headers(key), timeout=60)
            found.append((answer.status, time.perf_counter() - began))
            over.wait(float(answer.headers.get("Retry-After", 0)))

    asking = [threading.Thread(target=ask) for _ in range(SLOW_CALLS)]
    for one in asking:
        one.start()
    try:
        yield found
    finally:
        over.set()
        for one in asking:
            one.join()


def _results(name: str, waits: list[float], alone: list[float]) -> list[Result]:
    """The median and the 95th of 100, with the ratio to what it is alone."""
    p50, p50_alone = statistics.median(waits), statistics.median(alone)
    p95, p95_alone = (statistics.quantiles(one, n=20)[-1] for one in (waits, alone))
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
