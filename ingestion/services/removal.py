"""Deleting sources, tables and connections: what would go, what would stay, and doing it.

Workers let go of what is deleted before anything of it goes (``holding``). ClickHouse comes first:
where it can't do its part, everything is as it was. Postgres' rows follow, in one transaction;
Kafka's consumer groups are last, since a broker that is away must not hold a deletion up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db.models import Sum

from ingestion.consume import inbox
from ingestion.ddl import names
from ingestion.errors import IngestionError
from ingestion.lifecycle.broker import remove_group
from ingestion.models import Connection, Source, SpooledEvents, Table
from ingestion.provision import remove_table, spec_of
from ingestion.services import holding, sources
from tenants.audit import record, record_once
from tenants.lifecycle.rows import below, remove_with_all_below
from tenants.warehouse import client
from tenants.warehouse.errors import WarehouseError

Removable = Source | Table | Connection

_DELETING = "It is being deleted."
_AGAIN = "A source that reads the same stream later begins at its own start, not where this one was"


class NotConfirmed(IngestionError):
    """The name that was typed is not the object's."""


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows in ClickHouse that sources have landed: ``count`` is None where it can't be told now."""

    what: str
    count: int | None


@dataclass(frozen=True, slots=True)
class Preview:
    """``sources``: those that go along. ``rows``: what they landed. ``books``: in Postgres.

    ``goes`` and ``stays`` are sentences for whoever deletes.
    """

    sources: tuple[Source, ...]
    rows: tuple[Rows, ...]
    books: dict[str, int]
    goes: tuple[str, ...]
    stays: tuple[str, ...]


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
    )


def archive(obj: Removable) -> int:
    """Stop reading, keep everything: the source, or all that feed the table or use the connection.

    Returns how many were archived now.
    """
    reading = [one for one in sources_of(obj) if not one.is_archived]
    for one in reading:
        sources.archive(one)
        record_once("source.archive", one, tenant=one.tenant)
    return len(reading)


def delete(obj: Removable, confirmation: str, *, with_rows: bool) -> list[str]:
    """Delete it and the sources that can't be without it; ``confirmation`` is its name.

    ``with_rows``: what the sources have landed goes too; a table goes with its rows in any case.
    Returns what had to be left, and what to do about it. Raises NotConfirmed, StillRead and
    WarehouseError; then nothing was deleted, and it is safe to repeat.
    """
    if confirmation != obj.name:
        msg = f"To delete {obj}, type its name: {obj.name}. Nothing was deleted."
        raise NotConfirmed(msg)
    found = sources_of(obj)
    with holding.held(found, _DELETING):
        if with_rows and not isinstance(obj, Table):
            for one in found:
                _delete_rows(one)
        if isinstance(obj, Table) and _stands(obj):
            remove_table(spec_of(obj), set(obj.versions.values_list("number", flat=True)))
        remove_with_all_below(obj, lambda: _record(obj, found, with_rows=with_rows))
    return [line for one in found for line in remove_group(one)]


def _record(obj: Removable, found: Sequence[Source], *, with_rows: bool) -> None:
    for one in [obj, *(each for each in found if each != obj)]:
        action = f"{one._meta.model_name}.delete"
        record(action, one, tenant=one.tenant, detail={"with_rows": with_rows})


# --- In ClickHouse ------------------------------------------------------------------------------


def _stands(table: Table) -> bool:
    return table.applied > 0 and hasattr(table.tenant, "warehouse")


def _rows_of(found: Sequence[Source]) -> list[Rows]:
    """Of each source, what of it is in its table and in the quarantine."""
    counted = []
    for one in found:
        if not _stands(one.table):
            continue
        at, condition = inbox.address(one.table), f"_source = {one.pk:d}"
        shown = names.quarantine(one.table.name)
        counted.append(Rows(f"rows of {one} in {one.table}", _count(at.table, condition)))
        counted.append(Rows(f"messages of {one} in {shown}", _count(at.quarantine, condition)))
    return [one for one in counted if one.count != 0]


def _rows_of_table(table: Table) -> list[Rows]:
    if not _stands(table):
        return []
    at = inbox.address(table)
    return [
        Rows(f"rows of {table}", _count(at.table, "1")),
        Rows("messages in its quarantine", _count(at.quarantine, "1")),
    ]


def _count(at: str, condition: str) -> int | None:
    sql = f"SELECT count() AS n FROM {at} WHERE {condition}"  # noqa: S608 - quoted, and a number
    try:
        return int(client.rows(sql)[0]["n"])
    except WarehouseError:
        return None


def _delete_rows(source: Source) -> None:
    """Rewrite the parts that hold rows of the source; returns when every replica has done so."""
    if not _stands(source.table):
        return
    at = inbox.address(source.table)
    cluster = settings.CLICKHOUSE_CLUSTER
    on = f" ON CLUSTER {names.quoted(cluster)}" if cluster else ""
    statements = [
        f"ALTER TABLE {one}{on} DELETE WHERE _source = {source.pk:d}"
        for one in (at.table, at.quarantine)
    ]
    client.execute(statements, {"mutations_sync": 2, "max_execution_time": 0})


# --- What to tell -------------------------------------------------------------------------------


def _goes(obj: Removable, found: Sequence[Source]) -> list[str]:
    told = {
        Source: "Its settings, its position, and its books: batches, ledger, gaps and history.",
        Table: "The table in ClickHouse with its rows, its quarantine and its views; its columns.",
        Connection: "Its addresses, its login and its certificates.",
    }
    lines = [told[type(obj)]]
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
    if isinstance(obj, Table):
        lines.append("Saved queries that read the table; they answer with an error from then on.")
    else:
        lines.append("Rollups of your own that views fill: they keep what they have counted.")
    lines.append("The audit log. A file for `apply` that still names it would make it anew.")
    return lines


def _spooled(found: Sequence[Source]) -> int:
    of_them = SpooledEvents.across_tenants.filter(partition__source__in=found)
    total: dict[str, Any] = of_them.aggregate(events=Sum("count", default=0))
    return int(total["events"])
