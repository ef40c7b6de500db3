"""What a tenant may use and has used; each process remembers it for half a second."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from django.db.models import Q, Sum
from django.utils import timezone

from tenants.models import LIMITS, Plan, Tenant, Usage
from tenants.recent import Recent

#: A changed plan takes effect within this many seconds.
MEMORY_SECONDS = 0.5


@dataclass(frozen=True)
class PlanLimits:
    """The limits of a plan, as ``Plan`` defines them; None means unlimited."""

    requests_a_minute: int | None = None
    key_requests_a_minute: int | None = None
    concurrent_queries: int | None = None
    rows_a_query: int | None = None
    bytes_a_query: int | None = None
    rows_read_a_day: int | None = None
    bytes_read_a_day: int | None = None
    events_a_day: int | None = None
    bytes_a_day: int | None = None
    retention_days: int | None = None
    storage_bytes: int | None = None

    @staticmethod
    def of(plan: Plan | None) -> PlanLimits:
        return (
            PlanLimits(**{name: getattr(plan, name) for name in LIMITS}) if plan else PlanLimits()
        )


@dataclass(frozen=True)
class Used:
    """A tenant's usage of a day, as stored in Postgres.

    ``brokered_…`` are the events, and their bytes, that came from brokers.
    """

    events: int = 0
    bytes: int = 0
    brokered_events: int = 0
    brokered_bytes: int = 0
    rows_read: int = 0
    bytes_read: int = 0


@dataclass(frozen=True)
class Allowance:
    """What a tenant may use, and what it has used today.

    ``storage_full``: why no more events are accepted, or ''. ``weight``: the tenant's share of what
    tenants compete for. ``commands``: a cache for ``admission``, of what is the same for all calls.
    """

    tenant_id: int
    plan: str
    limits: PlanLimits
    day: date
    used: Used = Used()
    storage_full: str = ""
    query_rows: int = 0
    query_bytes: int = 0
    weight: int = 1
    commands: dict[object, Any] = field(default_factory=dict, compare=False)


_recent: Recent[int, Allowance] = Recent(MEMORY_SECONDS)


def forget() -> None:
    """Drop all remembered allowances, for example after a change in this process."""
    _recent.forget()


def allowance(tenant_id: int) -> Allowance:
    """What the tenant may use, at most MEMORY_SECONDS old."""
    return _recent.get(tenant_id, lambda: look_up(tenant_id, timezone.now()))


def look_up(tenant_id: int, now: datetime) -> Allowance:
    """What the tenant may use now, from Postgres."""
    tenant = (
        Tenant.objects.filter(pk=tenant_id)
        .select_related("plan", "warehouse", "ingestion_hold")
        .first()
    )
    day = now.astimezone(UTC).date()
    if tenant is None:
        return Allowance(tenant_id, "", PlanLimits(), day)
    limits = PlanLimits.of(tenant.plan)
    hold = getattr(tenant, "ingestion_hold", None)
    applied: Mapping[str, int] = getattr(getattr(tenant, "warehouse", None), "limits", {})
    return Allowance(
        tenant_id=tenant_id,
        plan=tenant.plan.name if tenant.plan else "",
        limits=limits,
        day=day,
        used=used(tenant_id, day) if _has_budget(limits) else Used(),
        storage_full=hold.reason if hold and hold.limit == "storage_bytes" else "",
        query_rows=applied.get("max_rows_to_read", 0),
        query_bytes=applied.get("max_bytes_to_read", 0),
        weight=tenant.weight,
    )


def _has_budget(limits: PlanLimits) -> bool:
    """Whether any limit is a daily one that depends on usage."""
    by_day = (limits.rows_read_a_day, limits.bytes_read_a_day)
    return any(limit is not None for limit in (*by_day, limits.events_a_day, limits.bytes_a_day))


def used(tenant_id: int, day: date) -> Used:
    """The tenant's usage on that day, by all keys and from brokers."""
    brokered = Q(key=None)
    sums = Usage.objects.filter(tenant=tenant_id, day=day).aggregate(
        # Django refuses an aggregate with the name of a field, hence the underscores.
        _events=Sum("events", default=0),
        _bytes=Sum("bytes", default=0),
        _brokered_events=Sum("events", filter=brokered, default=0),
        _brokered_bytes=Sum("bytes", filter=brokered, default=0),
        _rows_read=Sum("rows_read", default=0),
        _bytes_read=Sum("bytes_read", default=0),
    )
    return Used(**{name[1:]: int(value) for name, value in sums.items()})


def midnight(day: date) -> datetime:
    """When the day ends."""
    return datetime.combine(day + timedelta(days=1), time.min, UTC)
