"""Waits until a source has landed the messages of its broker."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

#: Seconds between two looks at Postgres.
_LOOK = 0.02


def timed(
    source: Any, count: int, patience: float = 120.0, at_lease: Callable[[], None] = lambda: None
) -> float:
    """Resume ``source``; returns the seconds from its lease until ``count`` messages are landed.

    Everything in between counts: recovery, opening the reader, writing the last position.
    ``at_lease`` is called when the time starts.
    """
    from ingestion.services import sources

    deadline = time.monotonic() + patience
    sources.resume(source)
    while not _is_leased(source):
        _wait(source, deadline)
    at_lease()
    began = time.perf_counter()
    while landed(source) < count:
        _wait(source, deadline)
    return time.perf_counter() - began


def landed(source: Any) -> int:
    """Messages of all the source's partitions up to their positions, quarantined ones included."""
    from django.db.models import Sum

    from ingestion.models import StreamPartition

    partitions = StreamPartition.across_tenants.filter(source=source)
    return partitions.aggregate(sum=Sum("position"))["sum"] or 0


def _is_leased(source: Any) -> bool:
    from ingestion.models import StreamPartition

    return StreamPartition.across_tenants.filter(source=source).exclude(lease_owner="").exists()


def _wait(source: Any, deadline: float) -> None:
    if time.monotonic() > deadline:
        source.refresh_from_db()
        raise RuntimeError(f"{landed(source):,} landed in time. {source.error}")
    time.sleep(_LOOK)
