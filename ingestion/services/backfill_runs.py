"""Starts, cancels and resumes backfills that Celery workers do."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta

from django.core.exceptions import ObjectDoesNotExist
from django.db import IntegrityError, transaction
from django.utils import timezone

from ingestion.backfill import background, uploads
from ingestion.backfill.file import format_of, shown
from ingestion.backfill.file_run import Settings
from ingestion.backfill.places import permitted as places
from ingestion.backfill.uploads import Upload
from ingestion.consume.shutdown import is_stopping
from ingestion.errors import IngestionError, Shortfall, TableNotReady
from ingestion.models import BackfillRun, Table
from ingestion.models.run import GOES_ON
from ingestion.services import runs
from ingestion.services.runs import RunRefused
from tenants.audit import current_actor, record
from tenants.task_queue import EXPIRES, send, unread
from tenants.warehouse.errors import StatementFailed, WarehouseError

#: The most runs of a tenant that wait or run at once.
MOST_AT_ONCE = 100
#: How long no worker must have tried a run until its error says so.
LONG_WAIT = timedelta(seconds=60)
NO_WORKER = (
    "It waits: no Celery worker of the queue 'backfill' has taken it. Start one, or wait until one "
    "is free."
)
_TASK = "ingestion.tasks.run_backfill"


def start(table: Table, locations: Sequence[str], settings: Settings) -> BackfillRun:
    """Start a run that loads from locations which the table's tenant may read.

    Raises FileUnreadable for a location that can't be, and RunRefused.
    """
    places.check(locations, table.tenant.slug)
    for text in locations:
        if not set("*?[") & set(text.partition("?")[0]):
            format_of(*_named(text), settings.form, settings.options)
    return _start(table, [places.safe(text) for text in locations], settings, locations=locations)


def start_unrestricted(table: Table, locations: Sequence[str], settings: Settings) -> BackfillRun:
    """Start a run for the operator, whom any path and place is open to. Raises RunRefused."""
    names = [places.safe(text) for text in locations]
    return _start(table, names, settings, locations=locations, is_unrestricted=True)


def start_upload(
    table: Table, name: str, blocks: Iterable[bytes], settings: Settings
) -> BackfillRun:
    """Store an upload, block by block, and start a run that loads it.

    Raises FileUnreadable, UploadRefused and RunRefused; nothing is stored then.
    """
    title = uploads.checked_name(name)
    format_of(title, title, settings.form, settings.options)
    _refuse(table)
    upload = uploads.stored(table.tenant.slug, title, blocks)
    try:
        return start_stored(table, upload, settings)
    except BaseException:
        upload.discard()
        raise


def start_stored(table: Table, upload: Upload, settings: Settings) -> BackfillRun:
    """Start a run that loads a stored upload; raises FileUnreadable and RunRefused."""
    format_of(upload.name, upload.name, settings.form, settings.options)
    return _start(table, [upload.name], settings, upload=upload.key)


def cancel(run: BackfillRun) -> None:
    """Stop a run between two chunks; raises RunRefused if it has ended. What landed stays."""
    runs.cancel(run, "backfill")


def resume(run: BackfillRun) -> None:
    """Go on with a run that was cancelled or has failed; raises RunRefused otherwise."""
    file = uploads.path_of(run.table.tenant.slug, run.upload)
    if run.upload and run.can_resume and not file.is_file():
        raise RunRefused("Its upload was removed meanwhile. Upload the file again.")
    runs.resume(run, "backfill", _TASK)


def go_on() -> None:
    """Queue the runs that should go on and that no worker works on.

    Does nothing while as many messages wait for a worker as runs are due: more of them would not
    help, and RabbitMQ alone drops expired ones by itself. Runs that have waited long then say so.
    """
    due = background.due()
    waiting = unread(_TASK) if due else None
    if waiting is None:
        return
    if waiting < len(due):
        for pk in due:
            send(_TASK, pk, expires=EXPIRES)
    if waiting:
        since = timezone.now() - LONG_WAIT
        rows = BackfillRun.across_tenants.filter(pk__in=due, state__in=GOES_ON)
        rows.filter(worked_at__lt=since).update(error=NO_WORKER)


def work(pk: int) -> None:
    """Load a run's files. Saves an error in the run.

    What a later attempt may cure leaves the run as it is, for the reconciler. Raises
    BackfillRun.DoesNotExist.
    """
    try:
        background.work(pk, is_stopping)
    except (WarehouseError, TableNotReady) as error:
        if isinstance(error, StatementFailed):
            runs.fail(BackfillRun, pk, str(error))
        else:
            runs.note(BackfillRun, pk, str(error))
    except (IngestionError, Shortfall) as error:
        runs.fail(BackfillRun, pk, str(error))
    except (ObjectDoesNotExist, IntegrityError):
        # Its table may have been deleted within a chunk.
        if BackfillRun.across_tenants.filter(pk=pk).exists():
            raise
        return
    _end(BackfillRun.across_tenants.select_related("table__tenant").get(pk=pk))


def _end(run: BackfillRun) -> None:
    """Remove a finished run's upload, write the audit entry, and let the tenant's next run go."""
    if run.goes_on:
        return
    tenant = run.table.tenant
    if run.state == "done" and run.upload:
        uploads.remove(tenant.slug, run.upload)
    if run.rows:
        detail = {"run": run.pk, "file": run.name, "rows": run.landed}
        record(
            "table.backfill",
            run.table,
            tenant=tenant,
            detail=detail | {"quarantined": run.quarantined},
        )
    waiting = BackfillRun.across_tenants.filter(table__tenant=tenant, state__in=GOES_ON)
    if (following := waiting.order_by("pk").values_list("pk", flat=True).first()) is not None:
        send(_TASK, following, expires=EXPIRES)


def _start(
    table: Table,
    names: Sequence[str],
    settings: Settings,
    *,
    locations: Sequence[str] = (),
    upload: str = "",
    is_unrestricted: bool = False,
) -> BackfillRun:
    _refuse(table)
    made = BackfillRun(
        table=table,
        name=names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more",
        locations="\n".join(locations),
        upload=upload,
        is_unrestricted=is_unrestricted,
        settings=background.stored_settings(settings),
        actor=current_actor().name[:200],
    )
    with transaction.atomic():
        made.save()
        detail = {"run": made.pk, "from": shown(made.name)}
        record("backfill.start", table, tenant=table.tenant, detail=detail)
        runs.queue(_TASK, made.pk)
    return made


def _refuse(table: Table) -> None:
    """Raise RunRefused if no run of the table can be started now."""
    if not table.applied or not hasattr(table.tenant, "warehouse"):
        raise RunRefused(f"{table} does not exist in ClickHouse yet. Try again once it is ready.")
    rows = BackfillRun.across_tenants.filter(table__tenant=table.tenant_id, state__in=GOES_ON)
    if rows.count() >= MOST_AT_ONCE:
        msg = f"{MOST_AT_ONCE} backfills wait or run already. Wait until some have ended."
        raise RunRefused(msg)


def _named(text: str) -> tuple[str, str]:
    """The name that shows a location's format, and how errors call the location."""
    safe = places.safe(text)
    return safe.partition("?")[0].rpartition("/")[2], safe
