"""Celery tasks: work outside the database that a row asks for. Each can be repeated at any time."""

from __future__ import annotations

import logging
from datetime import timedelta

from celery import shared_task
from django.db.models import F
from django.utils import timezone

from tenants.models import Tenant, TenantStatus, UsageFlush, Warehouse
from tenants.task_queue import EXPIRES, send

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
    """Queue every warehouse that has a change to apply and whose retry is due.

    A warehouse also needs a change when an operator changed the query limits or those of its plan,
    or when a new version of Millrace allows queries to set other settings.
    """
    from tenants.provisioning.warehouse import limits_of

    kept = Warehouse.across_tenants.exclude(tenant__status=TenantStatus.DELETING)
    current = kept.filter(applied=F("generation")).select_related("tenant__plan")
    for warehouse in current:
        if warehouse.limits != limits_of(warehouse.tenant).applied():
            warehouse.request()
    due = kept.exclude(applied=F("generation")).filter(retry_at__lte=timezone.now())
    for pk in due.values_list("pk", flat=True):
        send(provision_warehouse.name, pk, expires=EXPIRES)


@shared_task(name="tenants.tasks.hold_over_plan")
def hold_over_plan() -> None:
    """Hold ingestion of tenants that reached a daily or storage limit, and release the others.

    Ingestion slices do this as they work; this task covers midnight, HTTP events and storage.
    """
    from tenants.plans import holds

    holds.refresh()


@shared_task(name="tenants.tasks.measure_storage")
def measure_storage() -> None:
    """Record each warehouse's size on disk, and delete flush records that are too old to repeat."""
    from tenants.usage import storage

    storage.measure()
    UsageFlush.objects.filter(at__lt=timezone.now() - timedelta(days=1)).delete()


@shared_task(name="tenants.tasks.export_tenant")
def export_tenant(pk: int) -> None:
    """Export all of a tenant's data to the usual place; the time grows with the data."""
    from tenants.lifecycle.tenant_export import export

    tenant = Tenant.objects.filter(pk=pk).first()
    if tenant is None:
        return
    folder, manifest = export(tenant)
    log.info("%s was exported to %s: %d rows.", tenant.slug, folder, manifest.rows)
