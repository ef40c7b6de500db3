"""Creates, limits, suspends and resumes tenants."""

from __future__ import annotations

from django.core.exceptions import ValidationError
from django.db import transaction

from tenants.audit import record
from tenants.errors import TenantRefused
from tenants.models import Plan, Tenant, TenantStatus
from tenants.services.plans import give_plan
from tenants.services.warehouses import create_warehouse


def make(slug: str, name: str = "", *, weight: int = 1) -> Tenant:
    """Create a tenant and request its warehouse; raises TenantRefused for invalid values."""
    tenant = Tenant(slug=slug, name=name or slug, weight=weight)
    _check(tenant)
    with transaction.atomic():
        tenant.save()
        create_warehouse(tenant)
        record("tenant.make", tenant, tenant=tenant)
    return tenant


def limit(
    tenant: Tenant,
    *,
    weight: int | None = None,
    name: str | None = None,
    plan: str | None = None,
) -> Tenant:
    """Change a tenant's plan, weight or name; raises TenantRefused for invalid values.

    ``plan`` is the name of a plan; an empty name takes the tenant's plan away.
    """
    new_plan = _plan(plan) if plan else None
    tenant.weight = tenant.weight if weight is None else weight
    tenant.name = tenant.name if name is None else name
    _check(tenant)
    with transaction.atomic():
        tenant.save(update_fields=["weight", "name"])
        record("tenant.limit", tenant, tenant=tenant, detail={"weight": tenant.weight})
    if plan is not None:
        give_plan(tenant, new_plan)
    return tenant


def _plan(name: str) -> Plan:
    plan = Plan.objects.filter(name=name).first()
    if plan is None:
        known = ", ".join(Plan.objects.values_list("name", flat=True)) or "none yet"
        msg = f"There is no plan {name!r}. Plans: {known}."
        raise TenantRefused(msg)
    return plan


def suspend(tenant: Tenant) -> bool:
    """Pause the tenant's ingestion and refuse its API calls. Returns whether its status changed.

    Its data stays. Slices that hold partitions of its sources release them at their next heartbeat;
    API processes notice within half a second. The sources' own ``active`` does not change, so that
    resuming restores exactly what was running.
    """
    return _move(tenant, TenantStatus.ACTIVE, TenantStatus.SUSPENDED, "tenant.suspend")


def resume(tenant: Tenant) -> bool:
    """Resume a suspended tenant. Sources that were paused by hand stay paused.

    Returns whether its status changed.
    """
    return _move(tenant, TenantStatus.SUSPENDED, TenantStatus.ACTIVE, "tenant.resume")


@transaction.atomic
def _move(tenant: Tenant, before: TenantStatus, after: TenantStatus, action: str) -> bool:
    moved = Tenant.objects.filter(pk=tenant.pk, status=before).update(status=after)
    tenant.refresh_from_db(fields=["status"])
    if tenant.status == TenantStatus.DELETING:
        msg = f"{tenant.slug} is being deleted, and can't be suspended or resumed. Delete it again."
        raise TenantRefused(msg)
    if moved:
        record(action, tenant, tenant=tenant)
    return bool(moved)


def _check(tenant: Tenant) -> None:
    if "\0" in tenant.slug + tenant.name:
        msg = "The slug and the name can't contain NUL characters."
        raise TenantRefused(msg)
    try:
        tenant.full_clean()
    except ValidationError as error:
        lines = [f"{name}: {' '.join(texts)}" for name, texts in error.message_dict.items()]
        raise TenantRefused(" ".join(lines)) from error
