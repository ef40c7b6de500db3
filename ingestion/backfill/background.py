"""Works on a backfill run in a Celery worker: its files one after the other, with progress.

A run stops between two chunks when it is cancelled, when its tenant may not load at present, and
when the worker shuts down. A worker killed anywhere is followed by one that begins with the first
file again: what is loaded already is skipped, by the books of each file's chunks.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.conf import settings as django_settings
from django.db.models import F, Sum
from django.db.models.functions import Coalesce
from django.utils import timezone

from ingestion.backfill.advisory_lock import advisory_lock
from ingestion.backfill.errors import BackfillBusy, BackfillError, Paused
from ingestion.backfill.file import Format, shown
from ingestion.backfill.file_run import Settings, run
from ingestion.backfill.outcome import Loaded
from ingestion.backfill.places import (
    LocalPlace,
    RemotePlace,
    UploadedPlace,
    expand,
)
from ingestion.backfill.places.permitted import permitted
from ingestion.backfill.read_options import ReadOptions
from ingestion.backfill.uploads import path_of
from ingestion.models import BackfillChunk, BackfillRun, RunState
from ingestion.models.run import GOES_ON
from tenants.models import TenantStatus

#: Seconds between two looks at whether to go on, while no chunk ends.
_LOOK = 2.0
#: How long nobody must have worked on a run until the reconciler queues it again.
QUIET = timedelta(seconds=30)
_DUE = timedelta(days=1)


def due() -> list[int]:
    """Keys of the runs that a worker should go on with, and none does: at most one of each tenant.

    A tenant's runs are loaded one at a time. The one that no worker has tried for longest is due,
    so that a run that can't go on does not hold up the others.
    """
    quiet = timezone.now() - QUIET
    rows = BackfillRun.across_tenants.filter(
        state__in=GOES_ON, table__tenant__status=TenantStatus.ACTIVE
    )
    worked_on = rows.filter(state=RunState.RUNNING, worked_at__gte=quiet)
    idle = rows.filter(worked_at__lt=quiet).exclude(
        table__tenant__in=worked_on.values("table__tenant")
    )
    first = idle.order_by("table__tenant_id", "worked_at", "pk").distinct("table__tenant_id")
    return sorted(first.values_list("pk", flat=True))


def stored_settings(settings: Settings) -> dict[str, Any]:
    """The settings as a run keeps them."""
    return {
        "form": settings.form,
        "options": settings.options.as_json(),
        "chunk_rows": settings.chunk_rows,
        "limit": settings.limit,
    }


def work(pk: int, is_stopping: Callable[[], bool]) -> bool:
    """Load the run's files; returns False if it is to wait for another run or for its tenant.

    ``is_stopping``: whether the worker is to end. Raises BackfillError if the run can't be done,
    BackfillRun.DoesNotExist, and WarehouseError, after which a later attempt goes on.
    """
    found = _read(pk)
    with advisory_lock(f"backfills of tenant {found.table.tenant_id}") as is_alone:
        if not is_alone or found.state not in GOES_ON:
            return False
        progress = _Noted(pk, is_stopping)
        progress.taken()
        try:
            progress.look()
            _load_all(found, progress)
        except (Paused, BackfillBusy):
            return False
    return True


def _read(pk: int) -> BackfillRun:
    return BackfillRun.across_tenants.select_related("table__tenant__warehouse").get(pk=pk)


def _load_all(found: BackfillRun, progress: _Noted) -> None:
    """Load all files, whatever becomes of each; raises BackfillError if any went wrong."""
    settings = _settings(found)
    places = _places(found)
    rows = BackfillRun.across_tenants.filter(pk=found.pk)
    begun = Coalesce(F("begun_at"), timezone.now())
    rows.filter(state__in=GOES_ON).update(
        state=RunState.RUNNING, error="", files=len(places), outcomes=[], begun_at=begun
    )
    outcomes: list[dict[str, Any]] = []
    for number, place in enumerate(places, 1):
        progress.opens(number, shown(place.name))
        outcomes.append(_outcome(found, place, settings, progress))
        rows.update(outcomes=outcomes)
    _judge(found, outcomes)
    rows.filter(state__in=GOES_ON).update(
        state=RunState.DONE, error="", step="", finished_at=timezone.now()
    )


def _settings(found: BackfillRun) -> Settings:
    stored = found.settings
    most = None if found.is_unrestricted else django_settings.MILLRACE_UPLOAD_MAX_BYTES
    return Settings(
        Format(stored["form"]) if stored["form"] else None,
        ReadOptions.from_json(stored["options"]),
        stored["chunk_rows"],
        stored["limit"],
        run=found.pk,
        most_bytes=most,
    )


def _places(found: BackfillRun) -> list[LocalPlace | RemotePlace]:
    tenant, texts = found.table.tenant.slug, found.locations.splitlines()
    if found.upload:
        return [UploadedPlace(path_of(tenant, found.upload), found.name)]
    return expand(texts) if found.is_unrestricted else permitted(texts, tenant)


def _outcome(
    found: BackfillRun, place: LocalPlace | RemotePlace, settings: Settings, progress: _Noted
) -> dict[str, Any]:
    """Load one file; what became of it. Raises Paused, BackfillBusy and WarehouseError."""
    outcome: dict[str, Any] = {"file": shown(place.name)}
    try:
        loaded = run(found.table, place, settings, progress)
    except (Paused, BackfillBusy):
        raise
    except BackfillError as error:
        return outcome | {"error": str(error).replace("\0", "")}
    return outcome | _counts(found.pk, loaded)


def _counts(pk: int, loaded: Loaded) -> dict[str, Any]:
    """The rows of a file that this run loaded, in all its attempts, and those it did not."""
    own = _sums(BackfillChunk.across_tenants.filter(run=pk, backfill=loaded.backfill))
    counts: dict[str, Any] = {
        "landed": own["rows"] - own["misfits"],
        "quarantined": own["misfits"],
        "skipped": loaded.all_rows - own["rows"],
    }
    return counts | (
        {"error": f"More than half is in quarantine ({loaded.share})."} if loaded.is_bad else {}
    )


def _sums(chunks: Any) -> dict[str, int]:
    sums: dict[str, int] = chunks.filter(done_at__isnull=False).aggregate(
        rows=Coalesce(Sum(F("to_row") - F("from_row")), 0),
        misfits=Coalesce(Sum("quarantined"), 0),
    )
    return sums


def _judge(found: BackfillRun, outcomes: list[dict[str, Any]]) -> None:
    """Raise BackfillError if a file was not loaded, or most of it is in quarantine."""
    errors = [outcome["error"] for outcome in outcomes if "error" in outcome]
    if errors and len(outcomes) == 1:
        raise BackfillError(errors[0])
    if errors:
        msg = f"{len(errors)} of {len(outcomes)} files went wrong. The first: {errors[0]}"
        raise BackfillError(msg)


class _Noted:
    """Keeps a run's progress in its row, and raises Paused once it is not to go on."""

    def __init__(self, pk: int, is_stopping: Callable[[], bool]) -> None:
        self._pk, self._is_stopping = pk, is_stopping
        self._file = ""
        self._looked = 0.0

    def taken(self) -> None:
        """A worker has the run, so what it waited for until now is over."""
        self._rows.filter(state__in=GOES_ON).update(error="")

    def opens(self, number: int, name: str) -> None:
        """The run comes to its next file."""
        self._file = name
        self._rows.update(file=number)

    def begins(self, what: str, total: int | None) -> None:
        self._rows.update(step=f"{what} {self._file}", step_done=0, step_total=total)
        self.look()

    def is_at(self, done: int) -> None:
        """Bytes of a file that is read or copied: many a second, so few are noted."""
        if time.monotonic() - self._looked > _LOOK:
            self._rows.update(step_done=done)
            self.look()

    def landed(self, done: int) -> None:
        """A chunk has landed, or is known from before."""
        sums = _sums(BackfillChunk.across_tenants.filter(run=self._pk))
        self._rows.update(step_done=done, rows=sums["rows"], quarantined=sums["misfits"])
        self.look()

    def remark(self, text: str) -> None:
        """Do nothing: the backfill keeps it."""

    def look(self) -> None:
        """Raise Paused if the run is not to go on now; BackfillError if its table is gone."""
        self._looked = time.monotonic()
        if self._is_stopping():
            # Another worker may go on at once.
            self._rows.update(worked_at=timezone.now() - _DUE)
            raise Paused("The worker shuts down.")
        self._rows.update(worked_at=timezone.now())
        row = self._rows.values(
            "state", "table__tenant__status", "table__tenant__ingestion_hold__reason"
        ).first()
        if row is None:
            raise Paused("The table was deleted.")
        hold = row["table__tenant__ingestion_hold__reason"]
        if row["state"] not in GOES_ON or row["table__tenant__status"] != TenantStatus.ACTIVE:
            raise Paused("The run was cancelled, or its tenant is suspended.")
        if hold:
            self._rows.update(error=f"It waits: {hold}")
            raise Paused("The tenant is over its plan.")

    @property
    def _rows(self) -> Any:
        return BackfillRun.across_tenants.filter(pk=self._pk)
