"""Holds, which pause reading from brokers while a tenant is over its daily events or its storage.

Unread messages stay at the broker, and a hold ends by itself. Events over HTTP are refused instead
(``admission.take_in``), so that an accepted event never waits for a hold.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from django.db.models import BigIntegerField, Q, QuerySet, Sum
from django.db.models.functions import Coalesce
from django.utils import timezone

from tenants.models import IngestionHold, Tenant
from tenants.plans.allowance import midnight

log = logging.getLogger(__name__)

_LIMITED = (
    Q(plan__events_a_day__isnull=False)
    | Q(plan__bytes_a_day__isnull=False)
    | Q(plan__storage_bytes__isnull=False)
)


@dataclass(frozen=True)
class _Reached:
    """A limit that a tenant has reached. ``until``: when the hold ends, or None if unknown."""

    limit: str
    value: int
    reason: str
    until: datetime | None


def refresh(tenants: Collection[int] | None = None, now: datetime | None = None) -> None:
    """Set and end holds by plans and stored usage, for these tenants (their ids) or for all."""
    at = now or timezone.now()
    chosen = Tenant.objects.filter(_LIMITED | Q(ingestion_hold__isnull=False))
    if tenants is not None:
        chosen = chosen.filter(pk__in=tenants)
    for tenant in _measured(chosen, at):
        _settle(tenant, next(_reached(tenant, at), None))


def _measured(tenants: QuerySet[Tenant], now: datetime) -> QuerySet[Tenant]:
    today = Q(usage__day=now.astimezone(UTC).date())
    return tenants.select_related("plan", "warehouse", "ingestion_hold").annotate(
        events_today=_sum("usage__events", today), bytes_today=_sum("usage__bytes", today)
    )


def _sum(field: str, today: Q) -> Coalesce:
    return Coalesce(Sum(field, filter=today), 0, output_field=BigIntegerField())


def _reached(tenant: Tenant, now: datetime) -> Iterator[_Reached]:
    plan = tenant.plan
    if plan is None:
        return
    stored = getattr(getattr(tenant, "warehouse", None), "storage_bytes", 0)
    if plan.storage_bytes is not None and stored >= plan.storage_bytes:
        reason = (
            f"{stored:,} bytes are stored, and the plan {plan.name} allows {plan.storage_bytes:,}. "
            "Reading continues by itself when rows have expired or were deleted, or when the plan "
            "allows more. Unread messages stay at the broker."
        )
        yield _Reached("storage_bytes", plan.storage_bytes, reason, None)
    annotations = vars(tenant)
    for limit, today, unit in (
        ("events_a_day", annotations["events_today"], "events"),
        ("bytes_a_day", annotations["bytes_today"], "bytes of events"),
    ):
        value = getattr(plan, limit)
        if value is not None and today >= value:
            reason = (
                f"{today:,} {unit} arrived today, and the plan {plan.name} allows {value:,} a day. "
                "Reading continues by itself at midnight UTC, or when the plan allows more. Unread "
                "messages stay at the broker."
            )
            yield _Reached(limit, value, reason, midnight(now.astimezone(UTC).date()))


def _settle(tenant: Tenant, reached: _Reached | None) -> None:
    hold = getattr(tenant, "ingestion_hold", None)
    if reached is None:
        if hold is not None:
            IngestionHold.objects.filter(tenant=tenant.pk).delete()
            log.info("Tenant %s: reading from its brokers continues.", tenant.slug)
        return
    if hold is None:
        log.warning(
            "Tenant %s: reading from its brokers is on hold. %s", tenant.slug, reached.reason
        )
    elif (hold.limit, hold.value, hold.until) == (reached.limit, reached.value, reached.until):
        return
    IngestionHold.objects.update_or_create(
        tenant=tenant,
        defaults={
            "limit": reached.limit,
            "value": reached.value,
            "reason": reached.reason,
            "until": reached.until,
        },
    )
