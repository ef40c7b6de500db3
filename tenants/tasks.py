"""Celery tasks: work outside the database, asked for by a row and repeatable at any time."""

from __future__ import annotations

import logging
from typing import Any

from celery import Task, shared_task
from django.db.models import F
from django.utils import timezone
from kombu.exceptions import OperationalError

from tenants.models import Warehouse

log = logging.getLogger(__name__)


def send(task: Task[Any, Any], *arguments: Any) -> None:
    """Queue a task now. Where the broker is down, the reconciler will find the row later."""
    try:
        task.apply_async(arguments, retry=False)
    except OperationalError:
        log.warning("The Celery broker does not answer; %s waits for the reconciler.", task.name)


@shared_task(name="tenants.tasks.provision_warehouse")
def provision_warehouse(pk: int) -> None:
    from tenants.warehouse.provision import provision

    warehouse = Warehouse.objects.filter(pk=pk).exclude(applied=F("generation")).first()
    if warehouse is not None:
        provision(warehouse)


@shared_task(name="tenants.tasks.reconcile")
def reconcile() -> None:
    """Queue every warehouse whose wish is not applied and whose time has come.

    Where an operator has changed the limits of queries, that is a wish of every warehouse.
    """
    from tenants.warehouse.provision import limits

    current = Warehouse.objects.filter(applied=F("generation"))
    for warehouse in current.exclude(limits=limits().settings()):
        warehouse.request()
    due = Warehouse.objects.exclude(applied=F("generation")).filter(retry_at__lte=timezone.now())
    for pk in due.values_list("pk", flat=True):
        send(provision_warehouse, pk)
