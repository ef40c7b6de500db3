"""A backfill: each chunk has an intent before its insert, so that a second run loads nothing twice.

The rows carry their chunk's token as ``_batch``, the backfill's key as ``_partition`` and their
place in the file as ``_offset``; ``_source`` is 0, which no source has.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from django.db import connection, transaction
from django.db.models import F
from django.utils import timezone

from ingestion import versions
from ingestion.backfill.chunks import Chunk, cut
from ingestion.backfill.errors import BackfillError, FileUnreadable
from ingestion.backfill.file import HistoryFile
from ingestion.backfill.gauge import QUARANTINE_LIMIT, Gauge, batch_of
from ingestion.backfill.readers import READERS
from ingestion.ddl.spec import ColumnSpec
from ingestion.landing import addresses, inbox, lookups
from ingestion.landing.query_ids import await_inserts
from ingestion.landing.reinsert import complete, is_remembered
from ingestion.models import Backfill, BackfillChunk, BackfillState, Table

DEFAULT_CHUNK_ROWS = 100_000


@dataclass(frozen=True)
class Loaded:
    """Rows of the file by where they are; ``skipped``: those that an earlier run had loaded.

    ``all_rows`` and ``all_quarantined`` are of all runs together.
    """

    landed: int
    quarantined: int
    skipped: int
    all_rows: int
    all_quarantined: int

    @property
    def is_bad(self) -> bool:
        """Nothing is in the table, or more than half is not."""
        return self.all_rows == self.all_quarantined or self.all_quarantined * 2 > self.all_rows


def open_backfill(table: Table, file: HistoryFile, digest: str, chunk_rows: int) -> Backfill:
    """The backfill of this content into this table: a new one, or the one begun before."""
    backfill, _ = Backfill.across_tenants.get_or_create(
        table=table,
        sha256=digest,
        defaults={
            # A name may be any bytes, and Postgres takes UTF-8 alone.
            "name": file.path.name.encode("utf-8", "replace").decode()[:500],
            "format": file.format,
            "chunk_rows": chunk_rows,
        },
    )
    return backfill


def load(
    backfill: Backfill,
    file: HistoryFile,
    advance: Callable[[Chunk], None],
    limit: int = QUARANTINE_LIMIT,
) -> Loaded:
    """Bring all of the file into the table; ``advance`` is told of each chunk that is there.

    ``limit``: per cent of misfits beyond which it stops, as early as it can; 0: never.

    Raises BackfillError, FileUnreadable and WarehouseError; a later run goes on from there.
    """
    with _alone(backfill):
        backfill.refresh_from_db()
        before = (backfill.rows, backfill.quarantined)
        try:
            _load(backfill, file, advance, Gauge(limit))
        except Exception as error:
            _ended(backfill, BackfillState.FAILED, str(error))
            raise
        _ended(backfill, BackfillState.DONE, "")
    rows, misfits = backfill.rows - before[0], backfill.quarantined - before[1]
    return Loaded(rows - misfits, misfits, before[0], backfill.rows, backfill.quarantined)


@contextmanager
def _alone(backfill: Backfill) -> Iterator[None]:
    """Hold the backfill; a second process is refused, and one that dies lets go of it."""
    key = f"backfill {backfill.pk}"
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(hashtextextended(%s, 0))", [key])
        if not cursor.fetchone()[0]:
            msg = f"{backfill.name} is being loaded by another process. Wait for its end."
            raise BackfillError(msg)
        try:
            yield
        finally:
            cursor.execute("SELECT pg_advisory_unlock(hashtextextended(%s, 0))", [key])


def _load(
    backfill: Backfill, file: HistoryFile, advance: Callable[[Chunk], None], gauge: Gauge
) -> None:
    """Read the file once, and anew where its rows are typed by another version from some row on."""
    reported = -1
    while True:
        table = Table.across_tenants.select_related("tenant__warehouse").get(pk=backfill.table_id)
        opened = backfill.chunks.filter(done_at=None).order_by("from_row").first()
        version = opened.table_version if opened else table.version
        columns = versions.columns_of(table, version)
        for chunk in _chunks(backfill, file, columns):
            if not (gauge.was_tried or backfill.chunks.filter(from_row=chunk.from_row).exists()):
                gauge.try_out(backfill, chunk, columns)
            row, is_new = _chunk_row(backfill, chunk, version)
            if row is None:
                break
            if row.done_at is None:
                misfits = _land(backfill, table, row, chunk, is_new=is_new)
                gauge.count(backfill, len(chunk.messages), misfits)
            if chunk.from_row > reported:
                advance(chunk)
                reported = chunk.from_row
        else:
            break
    if reported < 0:
        msg = f"{file.shown}: it has no rows."
        raise FileUnreadable(msg)


def _chunks(
    backfill: Backfill, file: HistoryFile, columns: tuple[ColumnSpec, ...]
) -> Iterator[Chunk]:
    known = dict(backfill.chunks.values_list("from_row", "to_row"))
    return cut(READERS[file.format](file, columns), backfill.chunk_rows, known)


def _chunk_row(backfill: Backfill, chunk: Chunk, version: int) -> tuple[BackfillChunk | None, bool]:
    """The chunk's row, and whether it is new; no row where it belongs to another version.

    A row is locked against the table's, so that its version is the applied one when it is made.
    """
    row = BackfillChunk.across_tenants.filter(backfill=backfill, from_row=chunk.from_row).first()
    if row is not None:
        fits = row.done_at is not None or row.table_version == version
        return (row if fits else None), False
    with transaction.atomic():
        table = Table.across_tenants.select_for_update(no_key=True).get(pk=backfill.table_id)
        if table.version != version:
            return None, False
        row = BackfillChunk.across_tenants.create(
            backfill=backfill,
            from_row=chunk.from_row,
            to_row=chunk.to_row,
            table_version=version,
        )
    return row, True


def _land(
    backfill: Backfill, table: Table, row: BackfillChunk, chunk: Chunk, *, is_new: bool
) -> int:
    """Insert a chunk and close it; returns how many of its rows did not fit."""
    at = addresses.address_of_version(table, row.table_version)
    batch = batch_of(backfill, row.token, chunk, row.table_version)
    if is_new:
        inbox.insert(at, batch)
    else:
        remembered = bool(at.inbox) and is_remembered(table, row.opened_at)
        if not remembered:
            # An insert of the run before that comes late would not be known by its token any more.
            await_inserts(row.token)
        complete(at, batch, remembered=remembered)
    quarantined = lookups.quarantined(at, [row.token]).get(row.token, 0)
    with transaction.atomic():
        BackfillChunk.across_tenants.filter(pk=row.pk).update(
            quarantined=quarantined, done_at=timezone.now()
        )
        Backfill.across_tenants.filter(pk=backfill.pk).update(
            rows=F("rows") + len(chunk.messages), quarantined=F("quarantined") + quarantined
        )
    return quarantined


def _ended(backfill: Backfill, state: BackfillState, error: str) -> None:
    Backfill.across_tenants.filter(pk=backfill.pk).update(
        state=state, error=error.replace("\0", ""), finished_at=timezone.now()
    )
    backfill.refresh_from_db()
