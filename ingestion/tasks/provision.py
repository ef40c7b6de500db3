"""Tasks that apply the requested state of tables in ClickHouse."""

from __future__ import annotations

from contextlib import suppress

from celery import shared_task
from django.db.models import F
from django.db.models.functions import Coalesce, Least
from django.utils import timezone

from ingestion import rehearsal, versions
from ingestion.models import Table, TableVersion
from ingestion.provision import provision_table as provision
from ingestion.provision import tidy_table
from tenants.models import TenantStatus
from tenants.task_queue import EXPIRES, send
from tenants.warehouse.errors import WarehouseError
from tenants.warehouse.statements import MOST_DAYS


@shared_task(name="ingestion.tasks.provision_table")
def provision_table(pk: int) -> None:
    """Apply one table's requested state, unless it is applied already or its tenant is deleted."""
    due = Table.across_tenants.filter(pk=pk).exclude(applied=F("generation"))
    table = due.exclude(tenant__status=TenantStatus.DELETING).first()
    if table is not None:
        provision(table)


@shared_task(name="ingestion.tasks.reconcile")
def reconcile() -> None:
    """Queue every table whose requested state is not applied, once its back-off is over.

    Requests a change first for tables whose retention differs from their tenant's plan, and for
    tables whose pipeline has the form of an earlier release. Drops the pipelines of former versions
    that nothing needs any more.
    """
    planned = Least(Coalesce("tenant__plan__retention_days", 0), MOST_DAYS)
    kept = Table.across_tenants.exclude(tenant__status=TenantStatus.DELETING)
    applied = kept.filter(applied=F("generation"))
    for table in applied.exclude(retention_days=planned):
        table.request()
    for table in versions.outdated():
        table.request()
    due = kept.exclude(applied=F("generation")).filter(retry_at__lte=timezone.now())
    for pk in due.values_list("pk", flat=True):
        send(provision_table.name, pk, expires=EXPIRES)
    _tidy()


def _tidy() -> None:
    """Drop what table changes have left behind in ClickHouse."""
    standing = TableVersion.across_tenants.filter(dropped_at=None, number__lt=F("table__version"))
    for table in Table.across_tenants.filter(pk__in=standing.values("table")):
        if versions.superseded(table):
            # The table may be deleted in the meantime.
            with suppress(Table.DoesNotExist):
                tidy_table(table)
    with suppress(WarehouseError):
        rehearsal.drop_left()
