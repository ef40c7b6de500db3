"""Tasks that replay and discard what is in quarantine."""

from __future__ import annotations

import logging

from celery import shared_task

from ingestion.models import QuarantineRun
from ingestion.quarantine import replay
from ingestion.services.quarantine_runs import work
from tenants.task_queue import EXPIRES, send

log = logging.getLogger(__name__)


@shared_task(name="ingestion.tasks.run_quarantine")
def run_quarantine(pk: int) -> None:
    """Do one chunk of a run, and queue the next one."""
    try:
        goes_on = work(pk)
    except QuarantineRun.DoesNotExist:  # it was deleted with its table
        return
    if goes_on:
        send(run_quarantine.name, pk)


@shared_task(name="ingestion.tasks.go_on_with_runs")
def go_on_with_runs() -> None:
    """Queue each run that is not done: its worker may have died, or ClickHouse did not answer."""
    for pk in replay.due():
        send(run_quarantine.name, pk, expires=EXPIRES)
