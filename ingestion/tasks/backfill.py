"""Tasks that load files of history, and remove old uploads."""

from __future__ import annotations

import logging

from celery import shared_task

from ingestion.backfill import uploads
from ingestion.models import BackfillRun
from ingestion.services.backfill_runs import go_on, work

log = logging.getLogger(__name__)


# A run may take hours, and RabbitMQ gives a message that is not acknowledged within 30 minutes to
# another worker. So it is acknowledged at once, and the reconciler follows a worker that died.
@shared_task(name="ingestion.tasks.run_backfill", acks_late=False)
def run_backfill(pk: int) -> None:
    """Load the files of a run."""
    try:
        work(pk)
    except BackfillRun.DoesNotExist:
        return  # it was deleted with its table


@shared_task(name="ingestion.tasks.go_on_with_backfills")
def go_on_with_backfills() -> None:
    """Queue runs that nobody works on: their worker may have died, or their turn has come."""
    go_on()


@shared_task(name="ingestion.tasks.remove_uploads")
def remove_uploads() -> None:
    """Remove uploads that no run needs any more."""
    if removed := uploads.remove_old():
        log.info("%d old uploads were removed.", removed)
