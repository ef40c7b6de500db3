"""Tasks that bring tables in ClickHouse to what is asked of them."""

from __future__ import annotations

from celery import shared_task
from django.db.models import F
from django.db.models.functions import Coalesce
from django.utils import timezone

from ingestion.models import Table
from ingestion.provision import provision_table as provision
from tenants.models import TenantStatus
from tenants.tasks import send


@shared_task(name="ingestion.tasks.provision_table")
def provision_table(pk: int) -> None:
    due = Table.across_tenants.filter(pk=pk).exclude(applied=F("generation"))
    table = due.exclude(tenant__status=TenantStatus.DELETING).first()
    if table is not None:
        provision(table)


@shared_task(name="ingestion.tasks.reconcile")
def reconcile() -> None:
    """Queue every table whose wish is not applied and whose time has come.

    Where the plan of a tenant has another retention than its tables, that is a wish of theirs.
    """
    planned = Coalesce("tenant__plan__retention_days", 0)
    kept = Table.across_tenants.exclude(tenant__status=TenantStatus.DELETING)
    applied = kept.filter(applied=F("generation"))
    for table in applied.exclude(retention_days=planned):
        table.request()
    due = kept.exclude(applied=F("generation")).filter(retry_at__lte=timezone.now())
    for pk in due.values_list("pk", flat=True):
        send(provision_table, pk)
