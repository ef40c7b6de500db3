"""Seconds from an event to its being queryable, by events that are sent one by one at the end."""

from __future__ import annotations

import json
import time
from statistics import median
from typing import Any

import urllib3

from millrace.demo.progress import counts

#: Events of the weather that are kept back for it.
PROBES = 10


def seconds_to_queryable(web: str, key: str, bodies: list[bytes]) -> list[float]:
    """Post each event, then ask the endpoint until it counts it (or the quarantine does)."""
    http = urllib3.PoolManager()
    found = []
    for body in bodies:
        before = _readings(http, web, key)
        began = time.perf_counter()
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        answer = http.request("POST", f"{web}/api/v1/events/readings", body=body, headers=headers)
        if answer.status != 202:
            raise RuntimeError(f"The events endpoint answers {answer.status}: {answer.data!r}")
        while _readings(http, web, key) == before and time.perf_counter() - began < 60:
            time.sleep(0.01)
        found.append(time.perf_counter() - began)
    return found


def _readings(http: urllib3.PoolManager, web: str, key: str) -> int:
    url = f"{web}/api/v1/queries/totals"
    answer = http.request("GET", url, headers={"Authorization": f"Bearer {key}"})
    content: dict[str, Any] = json.loads(answer.data)
    if answer.status != 200:
        raise RuntimeError(f"{url} answers {answer.status}: {answer.data!r}")
    return int(content["data"][0]["readings"]) + counts(["weather"])["weather"].quarantined


def told(seconds: list[float]) -> str:
    """``0.61 s (median of 10, the longest 0.9 s)``."""
    longest = max(seconds)
    return f"{median(seconds):.2f} s (median of {len(seconds)}, the longest {longest:.2f} s)"
