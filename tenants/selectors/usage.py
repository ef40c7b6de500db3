"""The usage of tenants, by day and key."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import UTC, date, datetime, timedelta
from typing import Any

from django.db.models import QuerySet

from tenants.formulas import neutral
from tenants.models import APIKey, Usage

#: How many days a report covers by default.
DAYS = 30


@dataclass(frozen=True, slots=True)
class Figures:
    """Counts, as the help texts of ``Usage`` define. ``storage_bytes`` is the day's maximum."""

    requests: int = 0
    errors: int = 0
    queries: int = 0
    rows_read: int = 0
    bytes_read: int = 0
    events: int = 0
    bytes: int = 0
    storage_bytes: int = 0


FIELDS = tuple(figure.name for figure in fields(Figures))


@dataclass(frozen=True, slots=True)
class UsageLine:
    """The usage of one day by one key; ``key`` is the key's beginning, or '' without a key."""

    tenant: str
    day: date
    key: str
    key_name: str
    figures: Figures

    def as_dict(self) -> dict[str, Any]:
        """A flat dict for JSON, with the day as text and no tenant."""
        own = {"day": self.day.isoformat(), "key": self.key or None, "key_name": self.key_name}
        return own | asdict(self.figures)


def span(first: date | None, last: date | None, now: datetime) -> tuple[date, date]:
    """The first and the last day of a report, both inclusive; by default the last DAYS days.

    Raises ValueError if ``first`` is after ``last``.
    """
    until = last or now.astimezone(UTC).date()
    since = first or until - timedelta(days=DAYS - 1)
    if since > until:
        msg = f"from ({since}) is after to ({until})."
        raise ValueError(msg)
    return since, until


def lines(first: date, last: date, tenant_id: int | None = None) -> list[UsageLine]:
    """The usage of one tenant, or of all, by day (newest first) and key."""
    rows = _rows(first, last, tenant_id).select_related("tenant")
    usages = list(rows.order_by("-day", "tenant__slug", "key_id"))
    # Not a join, because a deleted key has no row.
    keys = APIKey.across_tenants.in_bulk({row.key_id for row in usages if row.key_id})
    return [_line(row, keys.get(row.key_id or 0)) for row in usages]


def _rows(first: date, last: date, tenant_id: int | None) -> QuerySet[Usage]:
    rows = Usage.across_tenants.filter(day__gte=first, day__lte=last)
    return rows if tenant_id is None else rows.filter(tenant=tenant_id)


def _line(row: Usage, key: APIKey | None) -> UsageLine:
    shown = f"mr_{key.prefix}" if key else f"#{row.key_id}" if row.key_id else ""
    figures = Figures(**{name: getattr(row, name) for name in FIELDS})
    return UsageLine(row.tenant.slug, row.day, shown, key.name if key else "", figures)


def total(some: Iterable[Figures]) -> Figures:
    """The sum of all figures; for storage, the maximum."""
    listed = list(some)
    sums = {name: sum(getattr(figures, name) for figures in listed) for name in FIELDS}
    sums["storage_bytes"] = max((figures.storage_bytes for figures in listed), default=0)
    return Figures(**sums)


def by_day(found: Sequence[UsageLine], first: date, last: date) -> list[tuple[date, Figures]]:
    """The figures of every day from ``first`` to ``last``, including days without usage."""
    days = [first + timedelta(days=number) for number in range((last - first).days + 1)]
    grouped: dict[date, list[Figures]] = {day: [] for day in days}
    for line in found:
        grouped[line.day].append(line.figures)
    return [(day, total(grouped[day])) for day in days]


def as_csv(found: Sequence[UsageLine]) -> str:
    """CSV with a heading and a line for each day and key. Spreadsheets see no cell as a formula."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(["tenant", "day", "key", "key_name", *FIELDS])
    for line in found:
        texts = [neutral(text) for text in (line.tenant, str(line.day), line.key, line.key_name)]
        writer.writerow([*texts, *(getattr(line.figures, name) for name in FIELDS)])
    return out.getvalue()
