"""Sends weather readings to the events endpoint, continuing after those that it has accepted."""

from __future__ import annotations

import gzip
import time
from collections.abc import Callable
from itertools import islice

import pyarrow as pa
import urllib3

from ingestion.models import StreamPartition
from millrace.demo.events import weather_events

CHUNK = 1_000
_SECONDS = 120


def send(url: str, key: str, rows: pa.Table, confirm: Callable[[int], None]) -> None:
    """Post the events that the source has not accepted yet; raises RuntimeError for a refusal.

    ``confirm`` is called with each number of accepted events. The endpoint accepts a request as a
    whole or not at all, and the partition's watermark counts its events, so after any failure the
    watermark says what is missing.
    """
    http = urllib3.PoolManager(retries=False, timeout=30)
    until = time.monotonic() + _SECONDS
    done = taken()
    confirm(done)
    while done < rows.num_rows:
        try:
            answer = _post(http, url, key, rows, done)
        except urllib3.exceptions.HTTPError as error:
            if time.monotonic() > until:
                raise RuntimeError(f"The events endpoint does not answer: {error}") from error
            time.sleep(1)
            done = taken()
            continue
        if answer.status == 202:
            until = time.monotonic() + _SECONDS
            confirm(min(CHUNK, rows.num_rows - done))
            done += CHUNK
        elif answer.status in (429, 502, 503) and time.monotonic() < until:
            time.sleep(float(answer.headers.get("Retry-After", 1)))
            done = taken()
        else:
            raise RuntimeError(f"The events endpoint answers {answer.status}: {answer.data!r}")


def _post(
    http: urllib3.PoolManager, url: str, key: str, rows: pa.Table, start: int
) -> urllib3.BaseHTTPResponse:
    events = islice(weather_events(rows.slice(0, min(start + CHUNK, rows.num_rows)), start), CHUNK)
    return http.request(
        "POST",
        url,
        body=gzip.compress(b"\n".join(events), 1),
        headers={
            "Authorization": f"Bearer {key}",
            "Content-Type": "application/x-ndjson",
            "Content-Encoding": "gzip",
        },
    )


def taken() -> int:
    """How many events the endpoint has accepted in total."""
    partition = StreamPartition.across_tenants.filter(
        source__tenant__slug="weather", source__name="readings"
    ).first()
    return 0 if partition is None else partition.high_watermark
