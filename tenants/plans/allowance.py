"""What a tenant may use, and what it has used, as every process remembers it for half a second."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from django.db.models import Q, Sum
from django.utils import timezone

from tenants.models import LIMITS, Plan, Tenant, Usage
from tenants.recent import Recent

#: A changed plan counts after this many seconds at the latest.
MEMORY_SECONDS = 0.5


@dataclass(frozen=True)
class PlanLimits:
    """The limits of a plan; None is no limit. Their meaning stands at ``Plan``."""

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
    """What was used of a day, as far as it is written down.

    ``brokered_…``: that part of the events, and of their bytes, that came from brokers.
    """

    events: int = 0
    bytes: int = 0
    brokered_events: int = 0
    brokered_bytes: int = 0
    rows_read: int = 0
    bytes_read: int = 0


@dataclass(frozen=True)
class Allowance:
    """A tenant's plan. ``storage_full``: why nothing more is taken in, or ''. ``weight``: of its
    share of what tenants compete for.

    ``commands`` is where admissions keep what is the same for each call (``admission``).
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
    """Look up every plan anew, as after a change within this process."""
    _recent.forget()


def allowance(tenant_id: int) -> Allowance:
    """What the tenant may use."""
    return _recent.get(tenant_id, lambda: look_up(tenant_id, timezone.now()))


def look_up(tenant_id: int, now: datetime) -> Allowance:
    """The same, as it is at this moment."""
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
    """Whether anything of it counts by the day."""
    by_day = (limits.rows_read_a_day, limits.bytes_read_a_day)
    return any(one is not None for one in (*by_day, limits.events_a_day, limits.bytes_a_day))


def used(tenant_id: int, day: date) -> Used:
    """What the tenant used that day, by all keys and from brokers."""
    brokered = Q(key=None)
    found = Usage.objects.filter(tenant=tenant_id, day=day).aggregate(
        # A sum can't have the name of a field that another one sums.
        _events=Sum("events", default=0),
        _bytes=Sum("bytes", default=0),
        _brokered_events=Sum("events", filter=brokered, default=0),
        _brokered_bytes=Sum("bytes", filter=brokered, default=0),
        _rows_read=Sum("rows_read", default=0),
        _bytes_read=Sum("bytes_read", default=0),
    )
    return Used(**{name[1:]: int(value) for name, value in found.items()})


def midnight(day: date) -> datetime:
    """When the day ends."""
    return datetime.combine(day + timedelta(days=1), time.min, UTC)
