"""Tasks that bring tables in ClickHouse to what is asked of them."""

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
from tenants.task_queue import send
from tenants.warehouse.errors import WarehouseError
from tenants.warehouse.statements import MOST_DAYS


@shared_task(name="ingestion.tasks.provision_table")
def provision_table(pk: int) -> None:
    due = Table.across_tenants.filter(pk=pk).exclude(applied=F("generation"))
    table = due.exclude(tenant__status=TenantStatus.DELETING).first()
    if table is not None:
        provision(table)


@shared_task(name="ingestion.tasks.reconcile")
def reconcile() -> None:
    """Queue every table whose wish is not applied and whose time has come.

    Where the plan of a tenant has another retention than its tables, that is a wish of theirs; so
    is a pipeline of an earlier form. Pipelines of former versions go when nothing needs them.
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
        send(provision_table.name, pk)
    _tidy()


def _tidy() -> None:
    """Take away what changes of tables have left in ClickHouse."""
    standing = TableVersion.across_tenants.filter(dropped_at=None, number__lt=F("table__version"))
    for table in Table.across_tenants.filter(pk__in=standing.values("table")):
        if versions.superseded(table):
            # Another may delete it meanwhile.
            with suppress(Table.DoesNotExist):
                tidy_table(table)
    with suppress(WarehouseError):
        rehearsal.drop_left()
