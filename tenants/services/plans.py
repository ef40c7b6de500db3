"""Creates plans and gives them to tenants. Used by the admin, commands and YAML configuration."""

from __future__ import annotations

from django.core.exceptions import ValidationError
from django.db import transaction

from tenants.audit import record
from tenants.models import LIMITS, Plan, Tenant, Warehouse
from tenants.plans import allowance, holds
from tenants.services.warehouses import retry_warehouse


def make_plan(name: str, limits: dict[str, int | None]) -> Plan:
    """Create a plan, or set these limits of the existing one; None removes a limit.

    Raises ValidationError for a limit that does not exist or is not above 0.
    """
    if unknown := set(limits) - set(LIMITS):
        msg = f"Unknown limit: {', '.join(sorted(unknown))}. Use: {', '.join(LIMITS)}."
        raise ValidationError(msg)
    plan = Plan.objects.filter(name=name).first() or Plan(name=name)
    for limit, value in limits.items():
        setattr(plan, limit, value)
    plan.full_clean()
    verb = "change" if plan.pk else "create"
    with transaction.atomic():
        plan.save()
        record(f"plan.{verb}", plan, tenant=None, detail=dict(limits))
    plan_changed(plan)
    return plan


def give_plan(tenant: Tenant, plan: Plan | None) -> None:
    """Give the tenant a plan, effective now; None removes all limits."""
    with transaction.atomic():
        Tenant.objects.filter(pk=tenant.pk).update(plan=plan)
        tenant.plan = plan
        detail: dict[str, object] = {"plan": plan.name if plan else None}
        record("tenant.plan", tenant, tenant=tenant, detail=detail)
    tenant_changed(tenant)


def plan_changed(plan: Plan) -> None:
    """Apply a plan's saved limits to all its tenants."""
    for tenant in Tenant.objects.filter(plan=plan):
        tenant_changed(tenant)


def tenant_changed(tenant: Tenant) -> None:
    """Apply a tenant's saved plan: release or set its hold, and update ClickHouse's limits.

    Processes notice within a second; the retention of tables follows within a few seconds.
    """
    allowance.forget()
    holds.refresh([tenant.pk])
    with transaction.atomic():
        for warehouse in Warehouse.objects.filter(tenant=tenant.pk):
            retry_warehouse(warehouse)
