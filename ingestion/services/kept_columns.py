"""Lists and drops kept columns: those that ClickHouse still has but the description no longer does.

New batches don't fill such a column, but a batch that was announced before the column was removed
may still be typed into it. So it can be dropped only once no version with the column is needed any
more and nothing can be announced for one (``versions``). Only columns that Millrace created are
offered, never one that somebody added by hand.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from django.conf import settings

from ingestion import provision, versions
from ingestion.errors import IngestionError, NotConfirmed
from ingestion.models import Table
from tenants.audit import record
from tenants.lifecycle import registry
from tenants.warehouse import client
from tenants.warehouse.errors import WarehouseError
from tenants.warehouse.quoting import identifier

_COLUMNS = (
    "SELECT name, type, is_in_partition_key OR is_in_sorting_key OR is_in_primary_key "
    "OR is_in_sampling_key AS is_in_key FROM system.columns "
    "WHERE database = {database:String} AND table = {table:String} ORDER BY position"
)
_TABLE = (
    "SELECT engine_full FROM system.tables "
    "WHERE database = {database:String} AND name = {table:String}"
)
_VIEWS = (
    "SELECT name, as_select FROM system.tables "
    "WHERE database = {database:String} AND as_select != '' ORDER BY name"
)
#: With these settings ClickHouse answers once every replica has rewritten its parts, however long
#: that takes.
_WAIT = {"alter_sync": 2, "mutations_sync": 2, "max_execution_time": 0}


class CannotDrop(IngestionError):
    """The column can't be dropped; the message says why. Nothing was changed."""


@dataclass(frozen=True, slots=True)
class KeptColumn:
    """A kept column. ``hindrance``: why it can't be dropped now; empty if it can."""

    name: str
    type: str
    hindrance: str


def kept_columns(table: Table) -> list[KeptColumn]:
    """Columns in ClickHouse that an earlier version had and the description no longer has.

    Queries ClickHouse only if there may be some. Raises WarehouseError.
    """
    described = {column.name for column in table.columns.all()} | _applied(table)
    former = {
        column.name for version in table.versions.all() for column in versions.read(version)
    } - described
    if not former or not table.applied or not hasattr(table.tenant, "warehouse"):
        return []
    bound = _place(table)
    rows = [row for row in client.rows(_COLUMNS, bound) if row["name"] in former]
    if not rows:
        return []
    engine = "".join(row["engine_full"] for row in client.rows(_TABLE, bound))
    views = {row["name"]: row["as_select"] for row in client.rows(_VIEWS, bound)}
    waits = _waits(table)
    return [
        KeptColumn(
            row["name"],
            row["type"],
            _needed(table, row["name"], engine, views.items(), is_in_key=bool(row["is_in_key"]))
            or waits
            or _typed_into(table, row["name"]),
        )
        for row in rows
    ]


def failing_queries(table: Table, name: str) -> list[str]:
    """Names of the saved queries that read the table and mention the column's name."""
    names = {
        query for read in registry.readers for query in read(table.tenant, (table.name,), name)
    }
    return sorted(names)


def drop_column(table: Table, name: str, confirmation: str) -> KeptColumn:
    """Drop a kept column with its data, on all parts; ``confirmation`` is its name.

    Returns the column as it was, once every replica has rewritten its parts or is still doing so.
    Raises NotConfirmed, CannotDrop, TableBusy and WarehouseError. Safe to repeat.
    """
    if confirmation != name:
        msg = (
            f"To drop column {name} of {table}, give its name as the confirmation: {name}. "
            "Nothing was dropped."
        )
        raise NotConfirmed(msg)
    # Holding the table prevents a change that would create a new version with the column.
    with provision.held(table):
        table.refresh_from_db()
        known = {column.name: column for column in kept_columns(table)}
        if name not in known:
            listed = ", ".join(known) or "none"
            raise CannotDrop(f"{table} keeps no column {name!r}. Kept columns: {listed}.")
        if known[name].hindrance:
            raise CannotDrop(f"Column {name} of {table} can't be dropped. {known[name].hindrance}")
        place = f"{identifier(table.tenant.warehouse.database)}.{identifier(table.name)}"
        cluster = settings.CLICKHOUSE_CLUSTER
        on = f" ON CLUSTER {identifier(cluster)}" if cluster else ""
        statement = f"ALTER TABLE {place}{on} DROP COLUMN IF EXISTS {identifier(name)}"
        try:
            client.execute([statement], _WAIT)
        except WarehouseError:
            # Once the column is gone from the metadata, ClickHouse rewrites the parts in the
            # background, so a failure while waiting for that does not matter.
            if name in {row["name"] for row in client.rows(_COLUMNS, _place(table))}:
                raise
    record("table.drop_column", table, tenant=table.tenant, detail={"column": name})
    return known[name]


# --- Why a column can't be dropped --------------------------------------------------------------


def _place(table: Table) -> dict[str, str]:
    return {"database": table.tenant.warehouse.database, "table": table.name}


def _applied(table: Table) -> set[str]:
    version = table.versions.filter(number=table.version).first()
    return {column.name for column in versions.read(version)} if version else set()


def _waits(table: Table) -> str:
    """The hindrance while a change of the table is not applied yet; else ''."""
    if table.applied == table.generation:
        return ""
    return "A change of the table is not applied yet. Try again when the table is ready."


def _typed_into(table: Table, name: str) -> str:
    """The hindrance while a batch may still be typed by a version with the column; else ''."""
    if not versions.may_type_into(table, name):
        return ""
    return (
        "Messages read before the column was removed may still be typed into it. Try again some "
        "minutes after the change, when no batch or backfill of that time is open any more."
    )


def _needed(
    table: Table, name: str, engine: str, views: Iterable[tuple[str, str]], *, is_in_key: bool
) -> str:
    """The hindrance if a key, the TTL or a view uses the column; else ''."""
    if name.startswith("_"):
        return "Millrace needs this column."
    if is_in_key:
        return "A key of the table uses this column."
    if _says(engine.partition(" TTL ")[2], name):
        return "The table's TTL uses this column."
    reading = [view for view, text in views if _says(text, table.name) and _says(text, name)]
    if reading:
        return f"Views read this column: {', '.join(reading)}. Drop them first if not needed."
    return ""


def _says(text: str, word: str) -> bool:
    return bool(re.search(rf"(?<![A-Za-z0-9_]){re.escape(word)}(?![A-Za-z0-9_])", text))
