"""A source's last hours as charts: throughput, lag, freshness."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from ingestion.models import Source
from ingestion.monitoring import freshness, throughput
from ingestion.monitoring.source_status import SourceStatus
from ingestion.monitoring.throughput import Minute
from tenants.admin import display
from tenants.admin.chart import Chart, Series

#: The time spans on offer, in hours, and how many minutes one column of the chart covers in each.
SPANS = {1: 1, 3: 1, 12: 4, 48: 16}
DEFAULT = 3


def chosen(text: str) -> int:
    """The hours in the query string if they are among SPANS, else DEFAULT."""
    return int(text) if text.isascii() and text.isdigit() and int(text) in SPANS else DEFAULT


def spans(hours: int) -> list[tuple[str, str, bool]]:
    """One (label, address, whether it is selected) for each span."""
    return [
        (f"{span} hours" if span > 1 else "1 hour", f"?hours={span}", span == hours)
        for span in SPANS
    ]


def charts(source: Source, status: SourceStatus, hours: int, now: datetime) -> list[Chart]:
    """The charts of a source whose ``status`` was measured at ``now``."""
    minutes = throughput.minutes(source, timedelta(hours=hours), now)
    width = SPANS[hours]
    columns = [
        throughput.together(minutes[first : first + width])
        for first in range(0, len(minutes), width)
    ]
    # The last minute is still running: its rate is over the seconds that have passed so far.
    running = (width - 1) * 60.0 + (now - minutes[-1].began_at).total_seconds()
    seconds = [width * 60.0] * (len(columns) - 1) + [max(1.0, running)]
    return [
        _throughput(columns, seconds, status),
        _lag(columns, status),
        _freshness(columns, status),
    ]


def _starts(columns: Sequence[Minute]) -> list[datetime]:
    return [column.began_at for column in columns]


def _throughput(columns: Sequence[Minute], seconds: list[float], status: SourceStatus) -> Chart:
    pairs = list(zip(columns, seconds, strict=True))
    return Chart(
        title="Events a second",
        now=f"{rate(status.events_per_second)} · {display.size(int(status.bytes_per_second))}/s",
        starts=_starts(columns),
        series=[
            Series(
                "events", "main", [minute.rows / passed for minute, passed in pairs], filled=True
            ),
            Series("quarantined", "bad", [minute.quarantined / passed for minute, passed in pairs]),
        ],
        told=lambda value: f"{rate(value)}/s",
    )


def _lag(columns: Sequence[Minute], status: SourceStatus) -> Chart:
    return Chart(
        title="Lag, in messages",
        now=lag(status),
        starts=_starts(columns),
        series=[Series("waiting", "warn", [float(minute.lag) for minute in columns], filled=True)],
        told=lambda value: f"{value:,.0f}",
    )


def _freshness(columns: Sequence[Minute], status: SourceStatus) -> Chart:
    return Chart(
        title="Age of events when they land",
        now=freshness_text(status),
        starts=_starts(columns),
        series=[
            Series("p95", "side", [freshness.quantile(column.ages, 0.95) for column in columns]),
            Series("p50", "main", [freshness.quantile(column.ages, 0.5) for column in columns]),
        ],
        told=age,
    )


def rate(value: float) -> str:
    """A rate per second, with one decimal if it is below 100."""
    return f"{value:,.1f}" if 0 < value < 100 else f"{value:,.0f}"


def lag(status: SourceStatus) -> str:
    """``1,204 (12 s)``: how many messages are waiting, and for how long."""
    if not status.lag or status.lag_seconds is None:
        return f"{status.lag:,}"
    return f"{status.lag:,} ({display.duration(status.lag_seconds)})"


def freshness_text(status: SourceStatus) -> str:
    """``0.41 s / 0.72 s``: p50 and p95."""
    if status.freshness_p50 is None or status.freshness_p95 is None:
        return "–"
    return f"{age(status.freshness_p50)} / {age(status.freshness_p95)}"


def age(seconds: float) -> str:
    """An age, to a hundredth of a second below 10 s."""
    return f"{seconds:.2f} s" if seconds < 10 else display.duration(seconds)
