"""Tasks that bring tables in ClickHouse to what is asked of them."""

from __future__ import annotations

from celery import shared_task
from django.db.models import F
from django.utils import timezone

from ingestion.models import Table
from ingestion.provision import provision_table as provision
from tenants.tasks import send


@shared_task(name="ingestion.tasks.provision_table")
def provision_table(pk: int) -> None:
    table = Table.objects.filter(pk=pk).exclude(applied=F("generation")).first()
    if table is not None:
        provision(table)


@shared_task(name="ingestion.tasks.reconcile")
def reconcile() -> None:
    """Queue every table whose wish is not applied and whose time has come."""
    due = Table.objects.exclude(applied=F("generation")).filter(retry_at__lte=timezone.now())
    for pk in due.values_list("pk", flat=True):
        send(provision_table, pk)
