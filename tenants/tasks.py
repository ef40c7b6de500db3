"""Celery tasks: work outside the database, asked for by a row and repeatable at any time."""

from __future__ import annotations

import logging
from datetime import timedelta

from celery import shared_task
from django.db.models import F
from django.utils import timezone

from tenants.models import Tenant, TenantStatus, UsageFlush, Warehouse
from tenants.task_queue import send

log = logging.getLogger(__name__)


@shared_task(name="tenants.tasks.provision_warehouse")
def provision_warehouse(pk: int) -> None:
    from tenants.provisioning.warehouse import provision

    due = Warehouse.across_tenants.filter(pk=pk).exclude(applied=F("generation"))
    warehouse = due.exclude(tenant__status=TenantStatus.DELETING).first()
    if warehouse is not None:
        provision(warehouse)


@shared_task(name="tenants.tasks.reconcile")
def reconcile() -> None:
    """Queue every warehouse whose wish is not applied and whose time has come.

    Where an operator has changed the limits of queries, or those of a plan, that is a wish of every
    warehouse concerned; so is a new version of ours that lets queries ask for other settings.
    """
    from tenants.provisioning.warehouse import limits_of

    kept = Warehouse.across_tenants.exclude(tenant__status=TenantStatus.DELETING)
    current = kept.filter(applied=F("generation")).select_related("tenant__plan")
    for warehouse in current:
        if warehouse.limits != limits_of(warehouse.tenant).applied():
            warehouse.request()
    due = kept.exclude(applied=F("generation")).filter(retry_at__lte=timezone.now())
    for pk in due.values_list("pk", flat=True):
        send(provision_warehouse.name, pk)


@shared_task(name="tenants.tasks.hold_over_plan")
def hold_over_plan() -> None:
    """Hold the streams of tenants that reached their plan's day or storage; let go of the others.

    Slices do so themselves as they go; this notices midnight, HTTP and storage.
    """
    from tenants.plans import holds

    holds.refresh()


@shared_task(name="tenants.tasks.measure_storage")
def measure_storage() -> None:
    """Note what each warehouse takes on disk, and forget flushes that nobody repeats any more."""
    from tenants.usage import storage

    storage.measure()
    UsageFlush.objects.filter(at__lt=timezone.now() - timedelta(days=1)).delete()


@shared_task(name="tenants.tasks.export_tenant")
def export_tenant(pk: int) -> None:
    """Export everything of a tenant's into the usual place; takes as long as its data is large."""
    from tenants.lifecycle.tenant_export import export

    tenant = Tenant.objects.filter(pk=pk).first()
    if tenant is None:
        return
    folder, manifest = export(tenant)
    log.info("%s was exported to %s: %d rows.", tenant.slug, folder, manifest.rows)
