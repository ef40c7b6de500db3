"""Making plans and giving them to tenants. Admin, commands and files call these."""

from __future__ import annotations

from django.core.exceptions import ValidationError
from django.db import transaction

from tenants.audit import record
from tenants.models import LIMITS, Plan, Tenant, Warehouse
from tenants.plans import allowance, holds
from tenants.services.warehouses import retry_warehouse


def make_plan(name: str, limits: dict[str, int | None]) -> Plan:
    """Make a plan, or set those limits of the one of that name (None lifts a limit).

    Raises ValidationError for a limit that does not exist, or is not above 0.
    """
    if unknown := set(limits) - set(LIMITS):
        msg = f"There is no limit {', '.join(sorted(unknown))}. These are: {', '.join(LIMITS)}."
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
    """Let the tenant use what the plan allows, from now on; None lifts all limits."""
    with transaction.atomic():
        Tenant.objects.filter(pk=tenant.pk).update(plan=plan)
        tenant.plan = plan
        detail: dict[str, object] = {"plan": plan.name if plan else None}
        record("tenant.plan", tenant, tenant=tenant, detail=detail)
    tenant_changed(tenant)


def plan_changed(plan: Plan) -> None:
    """A plan's limits were saved: all of its tenants get them."""
    for tenant in Tenant.objects.filter(plan=plan):
        tenant_changed(tenant)


def tenant_changed(tenant: Tenant) -> None:
    """A tenant's plan was saved: let go of what is held, and tell ClickHouse.

    Processes notice within a second; the retention of tables follows within some.
    """
    allowance.forget()
    holds.refresh([tenant.pk])
    with transaction.atomic():
        for warehouse in Warehouse.objects.filter(tenant=tenant.pk):
            retry_warehouse(warehouse)
