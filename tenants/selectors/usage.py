"""Selectors: what a tenant used, by day and key."""

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

#: Days that are told where nobody says which.
DAYS = 30


@dataclass(frozen=True, slots=True)
class Figures:
    """Counts, each as its help text at ``Usage`` says. ``storage_bytes`` is the day's most."""

    requests: int = 0
    errors: int = 0
    queries: int = 0
    rows_read: int = 0
    bytes_read: int = 0
    events: int = 0
    bytes: int = 0
    storage_bytes: int = 0


FIELDS = tuple(one.name for one in fields(Figures))


@dataclass(frozen=True, slots=True)
class UsageLine:
    """What was used on one day by one key; ``key`` is its beginning, '' where there was none."""

    tenant: str
    day: date
    key: str
    key_name: str
    figures: Figures

    def as_dict(self) -> dict[str, Any]:
        """The figures beside the rest, and days as texts."""
        told = {"day": self.day.isoformat(), "key": self.key or None, "key_name": self.key_name}
        return told | asdict(self.figures)


def span(first: date | None, last: date | None, now: datetime) -> tuple[date, date]:
    """The days from ``first`` to ``last``, both included; without them the last DAYS.

    Raises ValueError where they run backwards.
    """
    until = last or now.astimezone(UTC).date()
    since = first or until - timedelta(days=DAYS - 1)
    if since > until:
        msg = f"from ({since}) is after to ({until})."
        raise ValueError(msg)
    return since, until


def lines(first: date, last: date, tenant_id: int | None = None) -> list[UsageLine]:
    """By day, newest first, and key; of one tenant, or of all."""
    rows = _rows(first, last, tenant_id).select_related("tenant")
    found = list(rows.order_by("-day", "tenant__slug", "key_id"))
    # Of a key that is gone there is no row to join.
    keys = APIKey.across_tenants.in_bulk({one.key_id for one in found if one.key_id})
    return [_line(one, keys.get(one.key_id or 0)) for one in found]


def _rows(first: date, last: date, tenant_id: int | None) -> QuerySet[Usage]:
    rows = Usage.across_tenants.filter(day__gte=first, day__lte=last)
    return rows if tenant_id is None else rows.filter(tenant=tenant_id)


def _line(row: Usage, key: APIKey | None) -> UsageLine:
    shown = f"mr_{key.prefix}" if key else f"#{row.key_id}" if row.key_id else ""
    figures = Figures(**{name: getattr(row, name) for name in FIELDS})
    return UsageLine(row.tenant.slug, row.day, shown, key.name if key else "", figures)


def total(some: Iterable[Figures]) -> Figures:
    """All of them together; of storage the most."""
    listed = list(some)
    added = {name: sum(getattr(one, name) for one in listed) for name in FIELDS}
    added["storage_bytes"] = max((one.storage_bytes for one in listed), default=0)
    return Figures(**added)


def by_day(found: Sequence[UsageLine], first: date, last: date) -> list[tuple[date, Figures]]:
    """Every day from the first to the last, those without anything too."""
    days = [first + timedelta(days=number) for number in range((last - first).days + 1)]
    grouped: dict[date, list[Figures]] = {day: [] for day in days}
    for one in found:
        grouped[one.day].append(one.figures)
    return [(day, total(grouped[day])) for day in days]


def as_csv(found: Sequence[UsageLine]) -> str:
    """A heading and a line for each day and key; no cell is a formula to a spreadsheet."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(["tenant", "day", "key", "key_name", *FIELDS])
    for one in found:
        texts = [neutral(text) for text in (one.tenant, str(one.day), one.key, one.key_name)]
        writer.writerow([*texts, *(getattr(one.figures, name) for name in FIELDS)])
    return out.getvalue()
