"""Runs a backfill. Each chunk has an intent before its insert, so no later run loads it twice.

Rows carry their chunk's token as ``_batch``, the backfill's key as ``_partition`` and their number
in the file as ``_offset``. ``_source`` is 0, which no source has.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from itertools import chain

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from ingestion import versions
from ingestion.backfill.advisory_lock import advisory_lock
from ingestion.backfill.chunks import Chunk, chunks_of
from ingestion.backfill.content import refuse_other_options
from ingestion.backfill.errors import BackfillBusy, FileUnreadable, Paused
from ingestion.backfill.file import Format, HistoryFile
from ingestion.backfill.gauge import QUARANTINE_LIMIT, Gauge, batch_of
from ingestion.backfill.outcome import Loaded
from ingestion.backfill.read_options import ReadOptions
from ingestion.backfill.readers import READERS, Remark, delimiter_of, encoding_of, unheard
from ingestion.ddl.metadata import of_message, wanted
from ingestion.ddl.spec import ColumnSpec
from ingestion.landing import addresses, inbox, lookups
from ingestion.landing.query_ids import await_inserts
from ingestion.landing.reinsert import complete, is_remembered
from ingestion.models import Backfill, BackfillChunk, BackfillState, Table

DEFAULT_CHUNK_ROWS = 100_000


def load(
    backfill: Backfill,
    file: HistoryFile,
    advance: Callable[[Chunk], None],
    limit: int = QUARANTINE_LIMIT,
    remark: Remark = unheard,
    run: int | None = None,
) -> Loaded:
    """Load the whole file into the table; calls ``advance`` after each chunk that has landed.

    ``limit``: the per cent of misfits beyond which it stops, as early as possible; 0 never stops
    it. ``remark``: is told before loading what of the file may be other than it was meant.
    ``run``: the key of the run that it is part of. ``advance`` may raise Paused to end it there.

    Raises BackfillError, FileUnreadable and WarehouseError; a later run continues from there.
    """
    with _alone(backfill):
        backfill.refresh_from_db()
        refuse_other_options(backfill, file.format, file.options)
        before = (backfill.rows, backfill.quarantined)
        try:
            noted = _noting(backfill, remark)
            _load(backfill, _as_begun(backfill, file), advance, Gauge(limit), noted, run)
        except Paused:
            _note_end(backfill, BackfillState.STOPPED, "")
            raise
        except Exception as error:
            _note_end(backfill, BackfillState.FAILED, str(error))
            raise
        _note_end(backfill, BackfillState.DONE, "")
    rows, misfits = backfill.rows - before[0], backfill.quarantined - before[1]
    return Loaded(
        rows - misfits, misfits, before[0], backfill.rows, backfill.quarantined, backfill.pk
    )


def _noting(backfill: Backfill, remark: Remark) -> Remark:
    """Keeps a remark with the backfill, and passes it on. A file may be read more than once."""
    noted: set[str] = set()

    def note(text: str) -> None:
        if text not in noted:
            noted.add(text)
            Backfill.across_tenants.filter(pk=backfill.pk).update(remark=text.replace("\0", ""))
            remark(text)

    return note


@contextmanager
def _alone(backfill: Backfill) -> Iterator[None]:
    """Hold the backfill; raises BackfillBusy if another process has it."""
    with advisory_lock(f"backfill {backfill.pk}") as is_alone:
        if not is_alone:
            msg = f"{backfill.name}: another process is loading it. Wait until that has ended."
            raise BackfillBusy(msg)
        yield


def _as_begun(backfill: Backfill, file: HistoryFile) -> HistoryFile:
    """The file with the options of the backfill's first chunk, or those that its first will have.

    Raises FileUnreadable.
    """
    if backfill.chunks.exists():
        return replace(file, options=ReadOptions.from_json(backfill.options))
    options = _found_out(backfill, file)
    backfill.options, backfill.format = options.as_json(), file.format
    backfill.save(update_fields=["options", "format"])
    return replace(file, options=options)


def _found_out(backfill: Backfill, file: HistoryFile) -> ReadOptions:
    """The options, with what the file itself shows. That is kept: a table's columns can change."""
    if file.format == Format.PARQUET:
        return file.options
    options = replace(file.options, encoding=encoding_of(file))
    if file.format == Format.CSV:
        columns = of_message(versions.columns_of(backfill.table, backfill.table.version))
        options = replace(options, delimiter=delimiter_of(file, columns))
    return options


def _load(
    backfill: Backfill,
    file: HistoryFile,
    advance: Callable[[Chunk], None],
    gauge: Gauge,
    remark: Remark,
    run: int | None,
) -> None:
    """Load the file's chunks. Reads it anew each time that the table's version changes on the way.

    A chunk with an open intent is finished with its intent's version first.
    """
    reported = -1
    while True:
        table = Table.across_tenants.select_related("tenant__warehouse").get(pk=backfill.table_id)
        opened = backfill.chunks.filter(done_at=None).order_by("from_row").first()
        version = opened.table_version if opened else table.version
        columns = versions.columns_of(table, version)
        with closing(_chunks(backfill, file, columns, gauge, remark)) as chunks:
            for chunk in chunks:
                row, is_new = _chunk_row(backfill, chunk, version, run)
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
    backfill: Backfill,
    file: HistoryFile,
    columns: tuple[ColumnSpec, ...],
    gauge: Gauge,
    remark: Remark,
) -> Generator[Chunk]:
    """The file's chunks. Before the first new one, the gauge tries the rows from there on."""
    known = dict(backfill.chunks.values_list("from_row", "to_row"))
    rows = READERS[file.format](file, of_message(columns), remark)
    chunks = chunks_of(rows, backfill.chunk_rows, known)
    for chunk in chunks:
        if chunk.from_row not in known and gauge.has_to_try:
            yield from gauge.tried(backfill, chain([chunk], chunks), columns)
        else:
            yield chunk


def _chunk_row(
    backfill: Backfill, chunk: Chunk, version: int, run: int | None
) -> tuple[BackfillChunk | None, bool]:
    """The chunk's row in Postgres, and whether it is new; None if it needs another table version.

    The table is locked while a row is created, so that its version is still the table's then.
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
            run_id=run,
        )
    return row, True


def _land(
    backfill: Backfill, table: Table, row: BackfillChunk, chunk: Chunk, *, is_new: bool
) -> int:
    """Insert a chunk and close it; returns how many of its rows did not fit."""
    address = addresses.address_of_version(table, row.table_version)
    names = wanted(address.columns)
    batch = batch_of(backfill, row.token, chunk, row.table_version, names)
    if is_new:
        inbox.insert(address, batch)
    else:
        remembered = bool(address.inbox) and is_remembered(table, row.opened_at)
        if not remembered:
            # ClickHouse would not recognise the token of an earlier run's insert that still runs.
            await_inserts(row.token)
        complete(address, batch, remembered=remembered)
    quarantined = lookups.quarantined(address, [row.token]).get(row.token, 0)
    with transaction.atomic():
        BackfillChunk.across_tenants.filter(pk=row.pk).update(
            quarantined=quarantined, done_at=timezone.now()
        )
        Backfill.across_tenants.filter(pk=backfill.pk).update(
            rows=F("rows") + len(chunk.messages), quarantined=F("quarantined") + quarantined
        )
    return quarantined


def _note_end(backfill: Backfill, state: BackfillState, error: str) -> None:
    Backfill.across_tenants.filter(pk=backfill.pk).update(
        state=state, error=error.replace("\0", ""), finished_at=timezone.now()
    )
    backfill.refresh_from_db()
