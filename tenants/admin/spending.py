"""A tenant's usage as charts, one column a day."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, time, timedelta

from tenants.admin import display
from tenants.admin.chart import Chart, Series
from tenants.models import Tenant
from tenants.selectors import usage
from tenants.selectors.usage import Figures

#: The periods to choose from, in days.
SPANS = (30, 90, 365)


def chosen(text: str) -> int:
    """The requested number of days if it is one of SPANS, else the first of SPANS."""
    return int(text) if text.isascii() and text.isdigit() and int(text) in SPANS else SPANS[0]


def spans(days: int) -> list[tuple[str, str, bool]]:
    """(label, address, whether it is selected) of each period."""
    return [(f"{span} days", f"?days={span}", span == days) for span in SPANS]


def charts(tenant: Tenant, days: int, now: datetime) -> list[Chart]:
    """Charts of requests, events, what queries read, and storage, up to today (UTC)."""
    last = now.astimezone(UTC).date()
    first = last - timedelta(days=days - 1)
    by_day = usage.by_day(usage.lines(first, last, tenant.pk), first, last)
    columns = [figures for _, figures in by_day]
    starts = [_start(day) for day, _ in by_day]
    return [
        _chart("Requests a day", starts, columns, _count, ("requests", "errors")),
        _chart("Events a day", starts, columns, _count, ("events",)),
        _chart("Bytes of events a day", starts, columns, _size, ("bytes",)),
        _chart("Rows read a day", starts, columns, _count, ("rows_read",)),
        _chart("Bytes read a day", starts, columns, _size, ("bytes_read",)),
        _chart("Storage", starts, columns, _size, ("storage_bytes",)),
    ]


def _start(day: date) -> datetime:
    return datetime.combine(day, time.min, UTC)


def _chart(
    title: str,
    starts: Sequence[datetime],
    columns: Sequence[Figures],
    told: Callable[[float], str],
    names: tuple[str, ...],
) -> Chart:
    return Chart(
        title=title,
        now=told(getattr(columns[-1], names[0])),
        starts=starts,
        series=[
            Series(
                name.replace("_", " "),
                "bad" if name == "errors" else "main",
                [float(getattr(figures, name)) for figures in columns],
                filled=name != "errors",
            )
            for name in names
        ],
        told=told,
        form="%d %b",
    )


def _count(value: float) -> str:
    return f"{value:,.0f}"


def _size(value: float) -> str:
    return display.size(int(value))
