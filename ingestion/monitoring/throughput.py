"""Selectors: how much landed of late, and how old it was then, by minute or over a window."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.utils import timezone

from ingestion.models import Source, SourceMinute
from ingestion.monitoring import freshness

MINUTE = timedelta(minutes=1)
#: What "of late" is: the minute that runs, and those before it.
WINDOW = timedelta(minutes=5)
#: Minutes are kept this long.
KEPT = timedelta(days=2)


@dataclass(frozen=True, slots=True)
class RecentThroughput:
    """A source over the last minutes, WINDOW at most.

    Rates are a second. ``freshness_p50`` and ``freshness_p95``: the age in seconds.
    that one half, and 95 of 100, of the events did not go beyond when they landed; None where
    nothing landed.
    """

    events_per_second: float = 0.0
    bytes_per_second: float = 0.0
    freshness_p50: float | None = None
    freshness_p95: float | None = None


@dataclass(frozen=True, slots=True)
class Minute:
    """What ``SourceMinute`` says of a whole minute."""

    began_at: datetime
    rows: int
    quarantined: int
    bytes: int
    lag: int
    lag_seconds: float
    ages: Sequence[int]


def window_start(now: datetime) -> datetime:
    """Where WINDOW begins: its first whole minute."""
    return _minute(now - WINDOW + MINUTE)


def recent(sources: Collection[Source], now: datetime) -> dict[int, RecentThroughput]:
    """Of each of the sources, by its key. One query."""
    since = window_start(now)
    rows = SourceMinute.across_tenants.filter(
        source__in=[one.pk for one in sources], began_at__gte=since
    )
    found: dict[int, list[SourceMinute]] = defaultdict(list)
    for row in rows:
        found[row.source_id].append(row)
    return {
        source.pk: _recent(found[source.pk], (now - max(since, source.created_at)).total_seconds())
        for source in sources
    }


def _recent(rows: list[SourceMinute], seconds: float) -> RecentThroughput:
    if not rows:
        return RecentThroughput()
    passed = max(1.0, seconds)
    counts = freshness.total(row.ages for row in rows)
    return RecentThroughput(
        events_per_second=round(sum(row.rows for row in rows) / passed, 3),
        bytes_per_second=round(sum(row.bytes for row in rows) / passed, 3),
        freshness_p50=freshness.quantile(counts, 0.5),
        freshness_p95=freshness.quantile(counts, 0.95),
    )


def minutes(source: Source, length: timedelta, now: datetime) -> list[Minute]:
    """Every minute of the last ``length``, those without anything too, the oldest first."""
    last = _minute(now)
    first = last - length + MINUTE
    rows: dict[datetime, list[SourceMinute]] = defaultdict(list)
    for row in SourceMinute.across_tenants.filter(source=source, began_at__gte=first):
        rows[_minute(row.began_at)].append(row)
    starts = [first + number * MINUTE for number in range(int(length / MINUTE))]
    return [_together(at, rows[at]) for at in starts]


def together(some: Sequence[Minute]) -> Minute:
    """Several minutes as one column, which begins with the first."""
    return _together(some[0].began_at, some)


def _together(at: datetime, rows: Sequence[SourceMinute] | Sequence[Minute]) -> Minute:
    return Minute(
        began_at=at,
        rows=sum(row.rows for row in rows),
        quarantined=sum(row.quarantined for row in rows),
        bytes=sum(row.bytes for row in rows),
        lag=max((row.lag for row in rows), default=0),
        lag_seconds=max((row.lag_seconds for row in rows), default=0.0),
        ages=freshness.total(row.ages for row in rows),
    )


def _minute(at: datetime) -> datetime:
    return at.replace(second=0, microsecond=0)


def prune() -> int:
    """Delete minutes that are older than KEPT; returns how many."""
    return SourceMinute.across_tenants.filter(began_at__lt=timezone.now() - KEPT).delete()[0]
