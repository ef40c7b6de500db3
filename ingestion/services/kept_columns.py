"""Columns that were left out of a table's description and stay in ClickHouse, and dropping them.

Nobody fills such a column, but batches that were announced before it was left out may still be
typed into it: it goes only when no version that has it is needed any more, and nothing can be
announced for one (``versions``). Only what Millrace itself has made is offered, never a column that
somebody has added by hand.
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
#: ClickHouse answers when every replica has rewritten its parts, however long that takes.
_WAIT = {"alter_sync": 2, "mutations_sync": 2, "max_execution_time": 0}


class CannotDrop(IngestionError):
    """The column stays; the text says why, and what could be done. Nothing was changed."""


@dataclass(frozen=True, slots=True)
class KeptColumn:
    """``hindrance``: why it can't be dropped now, or empty."""

    name: str
    type: str
    hindrance: str


def kept_columns(table: Table) -> list[KeptColumn]:
    """Those that a former version had and nobody describes any more; raises WarehouseError.

    ClickHouse is asked only where there may be some.
    """
    described = {one.name for one in table.columns.all()} | _applied(table)
    former = {
        column.name for one in table.versions.all() for column in versions.read(one)
    } - described
    if not former or not table.applied or not hasattr(table.tenant, "warehouse"):
        return []
    bound = _place(table)
    stands = [one for one in client.rows(_COLUMNS, bound) if one["name"] in former]
    if not stands:
        return []
    engine = "".join(one["engine_full"] for one in client.rows(_TABLE, bound))
    views = {one["name"]: one["as_select"] for one in client.rows(_VIEWS, bound)}
    waits = _waits(table)
    return [
        KeptColumn(
            one["name"],
            one["type"],
            _needed(table, one["name"], engine, views.items(), is_in_key=bool(one["is_in_key"]))
            or waits
            or _typed_into(table, one["name"]),
        )
        for one in stands
    ]


def failing_queries(table: Table, name: str) -> list[str]:
    """Names of the saved queries that read the table and say the column's name."""
    found = {one for read in registry.readers for one in read(table.tenant, (table.name,), name)}
    return sorted(found)


def drop_column(table: Table, name: str, confirmation: str) -> KeptColumn:
    """Drop a kept column with its data, on all parts; ``confirmation`` is its name.

    Returns what it was, once every replica has rewritten its parts, or goes on with that. Raises
    NotConfirmed, CannotDrop, TableBusy and WarehouseError. Safe to repeat.
    """
    if confirmation != name:
        msg = f"To drop column {name} of {table}, give its name: {name}. Nothing was dropped."
        raise NotConfirmed(msg)
    # Nobody alters the table meanwhile, so that no version that has the column can come.
    with provision.held(table):
        table.refresh_from_db()
        known = {one.name: one for one in kept_columns(table)}
        if name not in known:
            listed = ", ".join(known) or "none"
            raise CannotDrop(f"{table} keeps no column {name!r} that is not described: {listed}.")
        if known[name].hindrance:
            raise CannotDrop(f"Column {name} of {table} stays. {known[name].hindrance}")
        place = f"{identifier(table.tenant.warehouse.database)}.{identifier(table.name)}"
        cluster = settings.CLICKHOUSE_CLUSTER
        on = f" ON CLUSTER {identifier(cluster)}" if cluster else ""
        statement = f"ALTER TABLE {place}{on} DROP COLUMN IF EXISTS {identifier(name)}"
        try:
            client.execute([statement], _WAIT)
        except WarehouseError:
            # Once it is no column any more, parts are rewritten whether anybody waits or not.
            if name in {one["name"] for one in client.rows(_COLUMNS, _place(table))}:
                raise
    record("table.drop_column", table, tenant=table.tenant, detail={"column": name})
    return known[name]


# --- Why it stays -------------------------------------------------------------------------------


def _place(table: Table) -> dict[str, str]:
    return {"database": table.tenant.warehouse.database, "table": table.name}


def _applied(table: Table) -> set[str]:
    version = table.versions.filter(number=table.version).first()
    return {one.name for one in versions.read(version)} if version else set()


def _waits(table: Table) -> str:
    """Whether the table itself is about to change."""
    if table.applied == table.generation:
        return ""
    return "A change of the table is not applied yet. Try again when the table is ready."


def _typed_into(table: Table, name: str) -> str:
    """Whether a batch may still be typed by a version that has the column."""
    if not versions.may_type_into(table, name):
        return ""
    return (
        "Messages that were taken before it was left out may still be typed into it. That is over "
        "some minutes after the change, when no batch or backfill of then is open any more."
    )


def _needed(
    table: Table, name: str, engine: str, views: Iterable[tuple[str, str]], *, is_in_key: bool
) -> str:
    """What of the table's own, or behind it, is made of the column."""
    if name.startswith("_"):
        return "Millrace needs it."
    if is_in_key:
        return "A key of the table is made of it."
    if _says(engine.partition(" TTL ")[2], name):
        return "The table's TTL is made of it."
    reading = [view for view, text in views if _says(text, table.name) and _says(text, name)]
    if reading:
        return f"It is read by {', '.join(reading)}. Drop that first, if it is not needed any more."
    return ""


def _says(text: str, word: str) -> bool:
    return bool(re.search(rf"(?<![A-Za-z0-9_]){re.escape(word)}(?![A-Za-z0-9_])", text))
