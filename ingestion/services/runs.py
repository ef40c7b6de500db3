"""Cancels, resumes and fails runs of any kind: replays, discards and backfills."""

from __future__ import annotations

from django.db import transaction
from django.utils import timezone

from ingestion.errors import IngestionError
from ingestion.models import BackfillRun, QuarantineRun
from ingestion.models.run import CAN_RESUME, GOES_ON, RunState
from tenants.audit import record
from tenants.task_queue import EXPIRES, send


class RunRefused(IngestionError):
    """The run can't be started, cancelled or resumed; the message says why."""


def cancel(run: QuarantineRun | BackfillRun, noun: str) -> None:
    """Stop a run after its present chunk; raises RunRefused if it has ended.

    ``noun``: what the audit entry's name begins with.
    """
    rows = type(run).across_tenants.filter(pk=run.pk, state__in=GOES_ON)
    with transaction.atomic():
        if not rows.update(state=RunState.CANCELLED, finished_at=timezone.now()):
            run.refresh_from_db()
            raise RunRefused(f"It has ended already: {run.get_state_display().lower()}.")
        record(f"{noun}.cancel", run.table, tenant=run.table.tenant, detail={"run": run.pk})
    run.refresh_from_db()


def resume(run: QuarantineRun | BackfillRun, noun: str, task: str) -> None:
    """Go on with a run that was cancelled or has failed; raises RunRefused otherwise.

    ``task``: the name of the task that works on it.
    """
    rows = type(run).across_tenants.filter(pk=run.pk, state__in=CAN_RESUME)
    with transaction.atomic():
        if not rows.update(
            state=RunState.QUEUED, error="", finished_at=None, worked_at=timezone.now()
        ):
            run.refresh_from_db()
            msg = f"Only a cancelled or failed run can be resumed. It is {run.state}."
            raise RunRefused(msg)
        record(f"{noun}.resume", run.table, tenant=run.table.tenant, detail={"run": run.pk})
        queue(task, run.pk)
    run.refresh_from_db()


def queue(task: str, pk: int) -> None:
    """Queue the task that works on a run, once its row is committed.

    The reconciler queues it again if no worker begins it in time.
    """
    transaction.on_commit(lambda: send(task, pk, expires=EXPIRES))


def fail(kind: type[QuarantineRun | BackfillRun], pk: int, error: str) -> None:
    """End a run that no later attempt can finish by itself."""
    kind.across_tenants.filter(pk=pk, state__in=GOES_ON).update(
        state=RunState.FAILED, error=_storable(error), finished_at=timezone.now()
    )


def note(kind: type[QuarantineRun | BackfillRun], pk: int, error: str) -> None:
    """Show what a later attempt may cure. The reconciler goes on with the run."""
    kind.across_tenants.filter(pk=pk).update(error=_storable(error))


def _storable(text: str) -> str:
    return text.replace("\0", "")
