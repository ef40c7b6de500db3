"""Deleting and archiving sources, tables and connections: what goes, what stays, and doing it.

Workers let go of what is deleted before anything of it goes (``holding``). ClickHouse comes first:
where it does not answer, everything is as it was. Where it fails after it has begun, or Postgres
does, rows may be gone already: the sources stay paused, and the deletion is to be repeated.
Postgres' rows follow, in one transaction; Kafka's consumer groups are last, since a broker that is
away must not hold a deletion up.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
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

#: Names of saved queries that a preview shows.
SHOWN_QUERIES = 20
#: A process that dies meanwhile leaves it so.
_DELETING = "It is being deleted. If that has stopped half-way, delete it again."
_HALF_WAY = "Its deletion stopped half-way: delete it again."
_STAYS_PAUSED = "Some of it may be gone, and its sources stay paused. Delete it again."
_ARCHIVED = (
    "Rows, quarantine, position and books stay, and can be queried as before.",
    "What was not read stays at the broker; events sent over HTTP are refused.",
    "It can be taken out of the archive again.",
)
_AGAIN = "A source that reads the same stream later begins at its own start, not where this one was"


class NotDeleted(IngestionError):
    """Postgres could not delete it, since others were at its rows; nothing was deleted."""


class StoppedHalfWay(IngestionError):
    """Rows may be gone already; the sources stay paused until it is deleted again."""


class _MadeMeanwhile(IngestionError):
    """A source of the object's came after its others were held; nobody has let go of it."""


@dataclass(frozen=True, slots=True)
class LandedRows:
    """Rows in ClickHouse that sources have landed: ``count`` is None where it can't be told now."""

    what: str
    count: int | None


@dataclass(frozen=True, slots=True)
class Preview:
    """``sources``: those that go along. ``rows``: what they landed. ``books``: in Postgres.

    ``goes`` and ``stays`` are sentences for whoever deletes; ``queries`` the names of the saved
    queries that answer with an error afterwards.
    """

    sources: tuple[Source, ...]
    rows: tuple[LandedRows, ...]
    books: dict[str, int]
    goes: tuple[str, ...]
    stays: tuple[str, ...]
    queries: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ArchivePreview:
    """``sources``: those that are archived with it. ``consequences``: what that means."""

    sources: tuple[Source, ...]
    consequences: tuple[str, ...]


def sources_of(obj: Removable) -> list[Source]:
    """The sources that can't be without it, with all that their deletion needs."""
    if isinstance(obj, Source):
        found = Source.across_tenants.filter(pk=obj.pk)
    elif isinstance(obj, Table):
        found = Source.across_tenants.filter(table=obj)
    else:
        found = Source.across_tenants.filter(connection=obj)
    related = ("tenant__warehouse", "table__tenant__warehouse", "connection__tenant")
    return list(found.select_related(*related).order_by("tenant__slug", "name"))


def preview(obj: Removable) -> Preview:
    """What a deletion would take; changes nothing."""
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
    """Their names, of which ``SHOWN_QUERIES`` are told at the most: ``a, b and 3 more``."""
    more = len(queries) - SHOWN_QUERIES
    shown = ", ".join(queries[:SHOWN_QUERIES])
    return f"{shown} and {more:,} more" if more > 0 else shown


def archive_preview(obj: Removable) -> ArchivePreview:
    """What ``archive`` would do; changes nothing."""
    reading = tuple(one for one in sources_of(obj) if not one.is_archived)
    if not reading:
        return ArchivePreview((), ("Nothing changes: none of its sources is outside the archive.",))
    listed = ", ".join(map(str, reading))
    stops = f"Nothing more is read of {listed}. What is under way lands."
    return ArchivePreview(reading, (stops, *_ARCHIVED))


def archive(obj: Removable) -> ArchivePreview:
    """Stop reading, keep everything: the source, or all that feed the table or use the connection.

    Returns what was done: the sources that were archived now.
    """
    done = archive_preview(obj)
    for one in done.sources:
        sources.archive(one)
        record_once("source.archive", one, tenant=one.tenant)
    if done.sources:
        record_once(f"{obj._meta.model_name}.archive", obj, tenant=obj.tenant)
    return done


def delete(obj: Removable, confirmation: str, *, with_rows: bool) -> list[str]:
    """Delete it and the sources that can't be without it; ``confirmation`` is its name.

    ``with_rows``: what the sources have landed goes too; a table goes with its rows in any case.
    Returns what had to be left, and what to do about it. Raises NotConfirmed, StillRead, TableBusy,
    NotDeleted and WarehouseError; then nothing was deleted. Raises StoppedHalfWay where some of it
    may be gone: the sources stay paused then. It is safe to repeat in any case.
    """
    if confirmation != obj.name:
        msg = f"To delete {obj}, type its name: {obj.name}. Nothing was deleted."
        raise NotConfirmed(msg)
    found = sources_of(obj)
    with holding.held(found, _DELETING) as hold, _against_makers(obj), _explained(obj, hold):
        if isinstance(obj, Table) and _may_have_parts(obj):
            _touch(hold)
            remove_table(spec_of(obj), set(obj.versions.values_list("number", flat=True)))
        elif with_rows and any(_stands(one.table) for one in found):
            _await_inserts(found)
            _touch(hold)
            for one in found:
                _delete_rows(one)
        remove_with_all_below(
            obj, lambda: _record(obj, found, with_rows=with_rows), lambda: _lock(obj, found)
        )
    return [line for one in found for line in remove_group(one)]


def _against_makers(obj: Removable) -> AbstractContextManager[None]:
    """Nobody makes a table, or a part of it, that is gone already."""
    return provision.held(obj) if isinstance(obj, Table) else nullcontext()


def _lock(obj: Removable, held: Sequence[Source]) -> None:
    """Sources before their partitions, as those who measure do, and each in the order of keys.

    Raises _MadeMeanwhile. From the first lock on nobody can make another source of the object.
    """
    list(type(obj).across_tenants.select_for_update(of=("self",)).filter(pk=obj.pk))
    found = sources_of(obj)
    if late := [str(one) for one in found if one not in held]:
        raise _MadeMeanwhile(f"Meanwhile {', '.join(late)} began to use it.")
    of_them = [one.pk for one in found]
    rows = Source.across_tenants.filter(pk__in=of_them).order_by("pk")
    list(rows.select_for_update(of=("self",)).values_list("pk", flat=True))
    partitions = StreamPartition.across_tenants.filter(source__in=of_them)
    list(lease.locking(partitions).values_list("pk", flat=True))


def _await_inserts(found: Sequence[Source]) -> None:
    """What workers that died have sent lands first, so that it goes too; raises WarehouseError."""
    opened = Batch.across_tenants.filter(partition__source__in=found, state=BatchState.INTENT)
    for token in opened.values_list("token", flat=True):
        await_inserts(token)


def _touch(hold: Hold) -> None:
    """From now on rows may be gone; raises WarehouseError where ClickHouse does not answer."""
    client.rows("SELECT 1")
    hold.half_way = _HALF_WAY


@contextmanager
def _explained(obj: Removable, hold: Hold) -> Iterator[None]:
    """Say of what fails whether something may be deleted already."""
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
    for one in [obj, *(each for each in found if each != obj)]:
        action = f"{one._meta.model_name}.delete"
        record(action, one, tenant=one.tenant, detail={"with_rows": with_rows})


# --- In ClickHouse ------------------------------------------------------------------------------


def _stands(table: Table) -> bool:
    return table.applied > 0 and hasattr(table.tenant, "warehouse")


def _may_have_parts(table: Table) -> bool:
    """Also where it was never made as a whole: an attempt that failed has left what it came to."""
    return hasattr(table.tenant, "warehouse") and table.tenant.warehouse.applied > 0


def _rows_of(found: Sequence[Source]) -> list[LandedRows]:
    """Of each source, what of it is in its table and in the quarantine."""
    counted = []
    for one in found:
        if not _stands(one.table):
            continue
        at, condition = addresses.place_of(one.table), f"_source = {one.pk:d}"
        shown = names.quarantine(one.table.name)
        counted.append(LandedRows(f"rows of {one} in {one.table}", _count(at.table, condition)))
        counted.append(
            LandedRows(f"messages of {one} in {shown}", _count(at.quarantine, condition))
        )
    return [one for one in counted if one.count != 0]


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
    """From the table and its quarantine; returns when every replica has done so."""
    table = source.table
    if not _stands(table):
        return
    for name in (table.name, names.quarantine(table.name)):
        delete_rows(table.tenant.warehouse.database, name, f"_source = {source.pk:d}")


# --- What to tell -------------------------------------------------------------------------------


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
        lines.append(f"{waiting:,} events that were taken over HTTP and have not landed yet.")
    if any(one.kind == "kafka" for one in found):
        lines.append("Their consumer groups at Kafka: millrace-<tenant>-<source>.")
    return lines


def _stays(obj: Removable, found: Sequence[Source]) -> list[str]:
    lines = []
    if any(one.connection_id for one in found):
        lines.append(f"The broker's own messages. {_AGAIN}, so that rows which stay can double.")
    if not isinstance(obj, Table):
        lines.append("Rollups of your own that views fill: they keep what they have counted.")
    lines.append("The audit log. A file for `apply` that still names it would make it anew.")
    return lines


def _queries(obj: Removable) -> list[str]:
    """Names of saved queries that can't be answered without it."""
    if not isinstance(obj, Table):
        return []
    gone = (obj.name, names.quarantine(obj.name))
    return sorted({name for read in registry.readers for name in read(obj.tenant, gone, "")})


def _spooled(found: Sequence[Source]) -> int:
    of_them = SpooledEvents.across_tenants.filter(partition__source__in=found)
    total: dict[str, Any] = of_them.aggregate(events=Sum("count", default=0))
    return int(total["events"])
