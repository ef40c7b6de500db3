"""Measures the seconds until an event is queryable, with events sent one by one at the end."""

from __future__ import annotations

import json
import time
from statistics import median
from typing import Any

import urllib3

from millrace.demo.progress import counts

#: Weather events that are held back for the measurement.
PROBES = 10


def seconds_to_queryable(web: str, key: str, bodies: list[bytes]) -> list[float]:
    """Post each event, then query until the table or the quarantine counts it; gives up at 60 s."""
    http = urllib3.PoolManager()
    times = []
    for body in bodies:
        before = _readings(http, web, key)
        began = time.perf_counter()
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        answer = http.request("POST", f"{web}/api/v1/events/readings", body=body, headers=headers)
        if answer.status != 202:
            raise RuntimeError(f"The events endpoint answers {answer.status}: {answer.data!r}")
        while _readings(http, web, key) == before and time.perf_counter() - began < 60:
            time.sleep(0.01)
        times.append(time.perf_counter() - began)
    return times


def _readings(http: urllib3.PoolManager, web: str, key: str) -> int:
    url = f"{web}/api/v1/queries/totals"
    answer = http.request("GET", url, headers={"Authorization": f"Bearer {key}"})
    content: dict[str, Any] = json.loads(answer.data)
    if answer.status != 200:
        raise RuntimeError(f"{url} answers {answer.status}: {answer.data!r}")
    return int(content["data"][0]["readings"]) + counts(["weather"])["weather"].quarantined


def summary(seconds: list[float]) -> str:
    """The times as text, such as ``0.61 s (median of 10, the longest 0.90 s)``."""
    longest = max(seconds)
    return f"{median(seconds):.2f} s (median of {len(seconds)}, the longest {longest:.2f} s)"
