"""Deletes and archives sources, tables and connections, with previews of what goes and stays.

1. Workers release the sources (``holding``).
2. ClickHouse deletes its part. If it does not answer, nothing has changed. If it, or Postgres,
   fails later, rows may be gone already: the sources stay paused, and the deletion must be
   repeated.
3. Postgres deletes its rows, in one transaction.
4. Kafka deletes the consumer groups: last, because a broker that is down must not block a deletion.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from django.db import IntegrityError, OperationalError
from django.db.models import Sum

from ingestion import provision
from ingestion.ddl import names
from ingestion.errors import IngestionError, NotConfirmed
from ingestion.landing import addresses
from ingestion.landing.query_ids import await_inserts
from ingestion.leases import lease
from ingestion.lifecycle.broker import remove_group
from ingestion.models import (
    Batch,
    BatchState,
    Connection,
    QuarantineChunk,
    Source,
    SpooledEvents,
    StreamPartition,
    Table,
)
from ingestion.provision import remove_table, spec_of
from ingestion.services import holding, sources
from ingestion.services.holding import Hold
from tenants.audit import record, record_once
from tenants.lifecycle import registry
from tenants.lifecycle.mutation import delete_rows
from tenants.lifecycle.postgres_rows import below, remove_with_all_below
from tenants.warehouse import client
from tenants.warehouse.errors import WarehouseError

Removable = Source | Table | Connection

#: How many names of saved queries a preview shows at most.
SHOWN_QUERIES = 20
#: Why the sources are paused; a process that dies during a deletion leaves this reason behind.
_DELETING = "It is being deleted. If the deletion has stopped half-way, delete it again."
_HALF_WAY = "Its deletion stopped half-way. Delete it again."
_STAYS_PAUSED = "Part of its data may be gone, and its sources stay paused. Delete it again."
_ARCHIVED = (
    "Rows and quarantine stay and can be queried as before; position and books stay too.",
    "Unread messages stay at the broker; events sent over HTTP are refused.",
    "The sources can be restored from the archive.",
)
_AGAIN = "A new source on the same stream begins at its own start, not where this one stopped"


class NotDeleted(IngestionError):
    """Postgres could not delete the rows because others were using them; nothing was deleted."""


class StoppedHalfWay(IngestionError):
    """Rows may be gone already; the sources stay paused until the deletion is repeated."""


class _MadeMeanwhile(IngestionError):
    """A source of the object was created after the others were held, so a worker may read it."""


@dataclass(frozen=True, slots=True)
class LandedRows:
    """Rows in ClickHouse that sources landed. ``count``: None if ClickHouse does not answer."""

    what: str
    count: int | None


@dataclass(frozen=True, slots=True)
class Preview:
    """What a deletion would delete, and what stays.

    ``sources`` are deleted too; ``rows`` are the rows they landed, ``books`` the number of records
    in Postgres by kind. ``goes`` and ``stays`` are sentences for the user. ``queries`` are the
    names of saved queries that will fail.
    """

    sources: tuple[Source, ...]
    rows: tuple[LandedRows, ...]
    books: dict[str, int]
    goes: tuple[str, ...]
    stays: tuple[str, ...]
    queries: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ArchivePreview:
    """The ``sources`` that are archived, and the ``consequences`` as sentences for the user."""

    sources: tuple[Source, ...]
    consequences: tuple[str, ...]


def sources_of(obj: Removable) -> list[Source]:
    """The source itself, or the sources of the table or connection, with related rows loaded."""
    if isinstance(obj, Source):
        rows = Source.across_tenants.filter(pk=obj.pk)
    elif isinstance(obj, Table):
        rows = Source.across_tenants.filter(table=obj)
    else:
        rows = Source.across_tenants.filter(connection=obj)
    related = ("tenant__warehouse", "table__tenant__warehouse", "connection__tenant")
    return list(rows.select_related(*related).order_by("tenant__slug", "name"))


def preview(obj: Removable) -> Preview:
    """What ``delete`` would delete; changes nothing."""
    found = sources_of(obj)
    rows = _rows_of_table(obj) if isinstance(obj, Table) else _rows_of(found)
    books = {model._meta.verbose_name_plural: count for model, count in below(obj).items()}
    return Preview(
        tuple(found),
        tuple(rows),
        {str(name): count for name, count in books.items()},
        tuple(_goes(obj, found)),
        tuple(_stays(obj, found)),
        tuple(_queries(obj)),
    )


def some_of(queries: Sequence[str]) -> str:
    """The names as text, at most ``SHOWN_QUERIES`` of them: ``a, b and 3 more``."""
    more = len(queries) - SHOWN_QUERIES
    shown = ", ".join(queries[:SHOWN_QUERIES])
    return f"{shown} and {more:,} more" if more > 0 else shown


def archive_preview(obj: Removable) -> ArchivePreview:
    """What ``archive`` would do; changes nothing."""
    reading = tuple(source for source in sources_of(obj) if not source.is_archived)
    if not reading:
        return ArchivePreview((), ("Nothing changes: all of its sources are archived already.",))
    listed = ", ".join(map(str, reading))
    stops = f"Millrace stops reading {listed}. Messages already read will land."
    return ArchivePreview(reading, (stops, *_ARCHIVED))


def archive(obj: Removable) -> ArchivePreview:
    """Archive the source, or all sources of the table or connection; everything is kept.

    Returns the sources that were archived by this call.
    """
    done = archive_preview(obj)
    for source in done.sources:
        sources.archive(source)
        record_once("source.archive", source, tenant=source.tenant)
    if done.sources:
        record_once(f"{obj._meta.model_name}.archive", obj, tenant=obj.tenant)
    return done


def delete(obj: Removable, confirmation: str, *, with_rows: bool) -> list[str]:
    """Delete the object and the sources that depend on it; ``confirmation`` is its name.

    ``with_rows``: also delete the rows that the sources landed; a table is always deleted with its
    rows. Returns sentences about what could not be deleted, and what to do about it. Raises
    NotConfirmed, StillRead, TableBusy, NotDeleted and WarehouseError if nothing was deleted, and
    StoppedHalfWay if part of it may be gone; then the sources stay paused. Always safe to repeat.
    """
    if confirmation != obj.name:
        msg = (
            f"To delete {obj}, give its name as the confirmation: {obj.name}. Nothing was deleted."
        )
        raise NotConfirmed(msg)
    found = sources_of(obj)
    with holding.held(found, _DELETING) as hold, _tables_held(obj, found), _explained(obj, hold):
        if isinstance(obj, Table) and _may_have_parts(obj):
            _touch(hold)
            remove_table(spec_of(obj), set(obj.versions.values_list("number", flat=True)))
        elif with_rows and any(_stands(source.table) for source in found):
            _await_inserts(found)
            _touch(hold)
            for source in found:
                _delete_rows(source)
        remove_with_all_below(
            obj, lambda: _record(obj, found, with_rows=with_rows), lambda: _lock(obj, found)
        )
    return [line for source in found for line in remove_group(source)]


@contextmanager
def _tables_held(obj: Removable, found: Sequence[Source]) -> Iterator[None]:
    """Hold the table, or the tables of the sources, so that no other process works on them.

    It could create parts of a table again after they are dropped, or replay messages of a source
    whose rows are gone.
    """
    tables = {source.table_id: source.table for source in found}
    if isinstance(obj, Table):
        tables[obj.pk] = obj
    with ExitStack() as stack:
        for _, table in sorted(tables.items()):
            stack.enter_context(provision.held(table))
        yield


def _lock(obj: Removable, held: Sequence[Source]) -> None:
    """Lock the object, its sources and their partitions; raises _MadeMeanwhile.

    Sources are locked before partitions, and each in the order of keys, as measuring does: another
    order could deadlock. From the first lock on, no other source of the object can be created.
    """
    list(type(obj).across_tenants.select_for_update(of=("self",)).filter(pk=obj.pk))
    found = sources_of(obj)
    if late := [str(source) for source in found if source not in held]:
        raise _MadeMeanwhile(f"Meanwhile {', '.join(late)} began to use it.")
    keys = [source.pk for source in found]
    rows = Source.across_tenants.filter(pk__in=keys).order_by("pk")
    list(rows.select_for_update(of=("self",)).values_list("pk", flat=True))
    partitions = StreamPartition.across_tenants.filter(source__in=keys)
    list(lease.locking(partitions).values_list("pk", flat=True))


def _await_inserts(found: Sequence[Source]) -> None:
    """Wait for inserts that dead workers have sent, so that their rows are deleted too.

    Raises WarehouseError.
    """
    opened = Batch.across_tenants.filter(partition__source__in=found, state=BatchState.INTENT)
    replayed = QuarantineChunk.across_tenants.filter(
        run__table__sources__in=found, landed_at=None
    ).distinct()
    for rows in (opened, replayed):
        for token in rows.values_list("token", flat=True):
            await_inserts(token)


def _touch(hold: Hold) -> None:
    """Note that rows may be gone from now on; first raises WarehouseError if ClickHouse is down."""
    client.rows("SELECT 1")
    hold.half_way = _HALF_WAY


@contextmanager
def _explained(obj: Removable, hold: Hold) -> Iterator[None]:
    """Turn failures into NotDeleted or StoppedHalfWay, by whether rows may be gone already."""
    try:
        yield
    except (WarehouseError, IntegrityError, OperationalError, _MadeMeanwhile) as error:
        is_of_clickhouse = isinstance(error, WarehouseError)
        is_of_postgres = isinstance(error, (IntegrityError, OperationalError))
        why = "Postgres could not delete its rows." if is_of_postgres else str(error)
        if hold.half_way:
            msg = f"The deletion of {obj} stopped half-way: {why} {_STAYS_PAUSED}"
            raise StoppedHalfWay(msg) from error
        if is_of_clickhouse:
            raise
        msg = f"{why} Nothing was deleted. Try again in a moment."
        raise NotDeleted(msg) from error


def _record(obj: Removable, found: Sequence[Source], *, with_rows: bool) -> None:
    for deleted in [obj, *(source for source in found if source != obj)]:
        action = f"{deleted._meta.model_name}.delete"
        record(action, deleted, tenant=deleted.tenant, detail={"with_rows": with_rows})


# --- In ClickHouse ------------------------------------------------------------------------------


def _stands(table: Table) -> bool:
    return table.applied > 0 and hasattr(table.tenant, "warehouse")


def _may_have_parts(table: Table) -> bool:
    """Whether ClickHouse may have some of the table; a failed attempt leaves parts of it behind."""
    return hasattr(table.tenant, "warehouse") and table.tenant.warehouse.applied > 0


def _rows_of(found: Sequence[Source]) -> list[LandedRows]:
    """The rows of each source, in its table and in the quarantine."""
    counted = []
    for source in found:
        if not _stands(source.table):
            continue
        at, condition = addresses.place_of(source.table), f"_source = {source.pk:d}"
        shown = names.quarantine(source.table.name)
        rows, misfits = _count(at.table, condition), _count(at.quarantine, condition)
        counted.append(LandedRows(f"rows of {source} in {source.table}", rows))
        counted.append(LandedRows(f"messages of {source} in {shown}", misfits))
        if at.filtered:
            left_out = _count(at.filtered, condition)
            counted.append(LandedRows(f"filtered messages of {source}, by origin", left_out))
    return [landed for landed in counted if landed.count != 0]


def _rows_of_table(table: Table) -> list[LandedRows]:
    if not _stands(table):
        return []
    at = addresses.place_of(table)
    return [
        LandedRows(f"rows of {table}", _count(at.table, "1")),
        LandedRows("messages in its quarantine", _count(at.quarantine, "1")),
    ]


def _count(at: str, condition: str) -> int | None:
    sql = f"SELECT count() AS n FROM {at} WHERE {condition}"  # noqa: S608 - quoted, and a number
    try:
        return int(client.rows(sql)[0]["n"])
    except WarehouseError:
        return None


def _delete_rows(source: Source) -> None:
    """Delete all that ClickHouse has of the source; returns when every replica is done."""
    table = source.table
    if not _stands(table):
        return
    filtered = (names.filtered(table.name),) if table.has_filtered else ()
    for name in (table.name, names.quarantine(table.name), *filtered):
        delete_rows(table.tenant.warehouse.database, name, f"_source = {source.pk:d}")


# --- Sentences for the preview ------------------------------------------------------------------


def _goes(obj: Removable, found: Sequence[Source]) -> list[str]:
    sentences = {
        Source: "Its settings, its position, and its books: batches, ledger, gaps and history.",
        Table: "The table in ClickHouse with its rows, its quarantine and its views; its columns.",
        Connection: "Its addresses, its login and its certificates.",
    }
    lines = [sentences[type(obj)]]
    if not isinstance(obj, Source) and found:
        listed = ", ".join(map(str, found))
        lines.append(f"The sources {listed}, with their positions and books.")
    waiting = _spooled(found)
    if waiting:
        lines.append(f"{waiting:,} events that were sent over HTTP and have not landed yet.")
    if any(source.kind == "kafka" for source in found):
        lines.append("Their consumer groups at Kafka: millrace-<tenant>-<source>.")
    return lines


def _stays(obj: Removable, found: Sequence[Source]) -> list[str]:
    lines = []
    if any(source.connection_id for source in found):
        lines.append(f"The messages at the broker. {_AGAIN}, so it may insert kept rows again.")
    if not isinstance(obj, Table):
        lines.append("Your own rollups that views fill: they keep what they have counted.")
    lines.append("The audit log. A YAML file that still names it would create it again on `apply`.")
    return lines


def _queries(obj: Removable) -> list[str]:
    """Names of the saved queries that read the table or its quarantine, and will fail."""
    if not isinstance(obj, Table):
        return []
    gone = (obj.name, names.quarantine(obj.name))
    return sorted({name for read in registry.readers for name in read(obj.tenant, gone, "")})


def _spooled(found: Sequence[Source]) -> int:
    waiting = SpooledEvents.across_tenants.filter(partition__source__in=found)
    total: dict[str, Any] = waiting.aggregate(events=Sum("count", default=0))
    return int(total["events"])
