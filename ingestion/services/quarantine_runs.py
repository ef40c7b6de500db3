"""Starts, cancels and resumes replays and discards of what is in a table's quarantine."""

from __future__ import annotations

from datetime import UTC, datetime

from django.db import transaction

from ingestion.errors import IngestionError, Shortfall
from ingestion.models import (
    QuarantineAction,
    QuarantineRun,
    Source,
    Table,
)
from ingestion.provision import TableBusy
from ingestion.quarantine import messages
from ingestion.quarantine import replay as steps
from ingestion.quarantine.messages import RepairFailed
from ingestion.quarantine.misfit_selection import Selection, selection_of
from ingestion.quarantine.repair import checked
from ingestion.services import runs
from ingestion.services.runs import RunRefused
from tenants.audit import current_actor, record
from tenants.warehouse import client
from tenants.warehouse.errors import StatementFailed, WarehouseError

#: The most characters of a note.
MOST_NOTE = 2_000
_TASK = "ingestion.tasks.run_quarantine"
_NOW = "SELECT toUnixTimestamp64Milli(now64(3)) AS now"


def selected(
    table: Table, reason: str = "", column: str | None = None, source: Source | None = None
) -> Selection:
    """The messages of a table's quarantine, by reason, column (None: any) and source."""
    return Selection(table, reason, column, source.pk if source else 0)


def replay(selection: Selection, repair: str = "") -> QuarantineRun:
    """Start a replay of the selected messages that are in quarantine now.

    ``repair``: an expression over raw that gives a message's new text; '' leaves it. Raises
    RepairRefused, RunRefused and WarehouseError.
    """
    return _start(selection, QuarantineAction.REPLAY, repair=checked(repair))


def discard(selection: Selection, note: str) -> QuarantineRun:
    """Start to delete the selected messages for good; ``note`` says why.

    Raises RunRefused and WarehouseError.
    """
    if not note.strip():
        raise RunRefused("Say why the messages are discarded. Nothing was discarded.")
    if len(note) > MOST_NOTE:
        msg = f"The reason has {len(note):,} characters; at most {MOST_NOTE:,} are allowed."
        raise RunRefused(msg)
    return _start(selection, QuarantineAction.DISCARD, note=note.strip())


def cancel(run: QuarantineRun) -> None:
    """Stop a run after its present chunk; raises RunRefused if it has ended."""
    runs.cancel(run, "quarantine")


def resume(run: QuarantineRun) -> None:
    """Go on with a run that was cancelled or has failed; raises RunRefused otherwise."""
    runs.resume(run, "quarantine", _TASK)


def work(pk: int) -> bool:
    """Do one step of a run; returns whether to go on at once. Saves an error in the run.

    What a later attempt may cure leaves the run as it is, for the reconciler. Raises
    QuarantineRun.DoesNotExist.
    """
    try:
        return steps.step(pk)
    except TableBusy:
        return False
    except (RepairFailed, StatementFailed, Shortfall) as error:
        runs.fail(QuarantineRun, pk, str(error))
    except (WarehouseError, IngestionError) as error:
        runs.note(QuarantineRun, pk, str(error))
    return False


def _start(
    selection: Selection, action: QuarantineAction, *, repair: str = "", note: str = ""
) -> QuarantineRun:
    table = selection.table
    if not table.applied or not hasattr(table.tenant, "warehouse"):
        raise RunRefused(f"{table} has no quarantine yet: ClickHouse has not created it.")
    made = QuarantineRun(
        table=table,
        action=action,
        reason=selection.reason,
        column=selection.column,
        source_id=selection.source or None,
        repair=repair,
        note=note,
        until=datetime.fromtimestamp(client.rows(_NOW)[0]["now"] / 1000, UTC),
        actor=current_actor().name[:200],
    )
    made.total = messages.total(selection_of(made))
    if not made.total:
        raise RunRefused("No message in quarantine matches. Nothing was started.")
    with transaction.atomic():
        made.save()
        detail = {"messages": made.total, "reason": made.reason, "column": made.column}
        more = {"source": made.source_id, "repair": repair, "note": note}
        _record(action, made, {name: value for name, value in (detail | more).items() if value})
        runs.queue(_TASK, made.pk)
    return made


def _record(act: str, about: QuarantineRun, detail: dict[str, object]) -> None:
    table = about.table
    record(f"quarantine.{act}", table, tenant=table.tenant, detail={"run": about.pk, **detail})
