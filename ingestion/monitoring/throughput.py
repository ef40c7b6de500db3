"""Selectors: how much has landed recently, and how old it was, by minute or over a window."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.utils import timezone

from ingestion.models import Source, SourceMinute
from ingestion.monitoring import freshness

MINUTE = timedelta(minutes=1)
#: What "recently" means: the current minute and those before it.
WINDOW = timedelta(minutes=5)
#: How long minutes are kept.
KEPT = timedelta(days=2)


@dataclass(frozen=True, slots=True)
class RecentThroughput:
    """A source's throughput and freshness over the last minutes, up to WINDOW.

    Rates are per second. ``freshness_p50`` and ``freshness_p95``: the age in seconds that 50 % and
    95 % of the events did not exceed when they landed; None if nothing landed.
    """

    events_per_second: float = 0.0
    bytes_per_second: float = 0.0
    freshness_p50: float | None = None
    freshness_p95: float | None = None


@dataclass(frozen=True, slots=True)
class Minute:
    """A whole minute of a source's history, from one ``SourceMinute`` or several."""

    began_at: datetime
    rows: int
    quarantined: int
    bytes: int
    lag: int
    lag_seconds: float
    ages: Sequence[int]


def window_start(now: datetime) -> datetime:
    """The first whole minute of WINDOW."""
    return _minute(now - WINDOW + MINUTE)


def recent(sources: Collection[Source], now: datetime) -> dict[int, RecentThroughput]:
    """The recent throughput of each source, by its key. One query."""
    since = window_start(now)
    rows = SourceMinute.across_tenants.filter(
        source__in=[source.pk for source in sources], began_at__gte=since
    )
    by_source: dict[int, list[SourceMinute]] = defaultdict(list)
    for row in rows:
        by_source[row.source_id].append(row)
    return {
        source.pk: _recent(
            by_source[source.pk], (now - max(since, source.created_at)).total_seconds()
        )
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
    """Every minute of the last ``length``, the oldest first, including minutes without rows."""
    last = _minute(now)
    first = last - length + MINUTE
    rows: dict[datetime, list[SourceMinute]] = defaultdict(list)
    for row in SourceMinute.across_tenants.filter(source=source, began_at__gte=first):
        rows[_minute(row.began_at)].append(row)
    starts = [first + number * MINUTE for number in range(int(length / MINUTE))]
    return [_together(at, rows[at]) for at in starts]


def together(several: Sequence[Minute]) -> Minute:
    """Several minutes as one column of a chart, which begins with the first."""
    return _together(several[0].began_at, several)


def _together(began_at: datetime, rows: Sequence[SourceMinute] | Sequence[Minute]) -> Minute:
    return Minute(
        began_at=began_at,
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
