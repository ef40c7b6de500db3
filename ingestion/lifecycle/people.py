"""Finds one person's rows: in tables that have a given column, and in their quarantines."""

from __future__ import annotations

from django.db.models import Sum

from ingestion.ddl import located, names, paths
from ingestion.ddl.metadata import METADATA
from ingestion.models import Column, SpooledEvents, Table, UnknownFields
from tenants.lifecycle.registry import PersonTable
from tenants.lifecycle.sql import bare, cast, equals
from tenants.models import Tenant
from tenants.warehouse.quoting import identifier, string

_BROKERS = (
    "Brokers keep their own messages. A message that is read again after a reset, or sent again, "
    "lands again: remove it at the broker first, then repeat the erasure."
)
_EXAMPLES = (
    "The page of a table may show an example of a field that no column reads. To delete the "
    "examples, save the table with its unknown fields ignored."
)
_LEDGER = "The ledger will report the erased rows as missing."


def find(tenant: Tenant, column: str, table: str) -> list[PersonTable]:
    """The tenant's tables with ``column``, and their quarantines; all of them if it is ''.

    ``table``: the name of the only table to search; '' for all.
    """
    tables = Table.objects.filter(tenant=tenant, applied__gt=0)
    if table:
        tables = tables.filter(name=table)
    if not column:
        return [
            PersonTable(name, "table", "")
            for row in tables
            for name in (row.name, names.quarantine(row.name))
        ]
    columns = Column.across_tenants.filter(table__in=tables, name=column).select_related("table")
    return [place for row in columns for place in _places(row)]


def _places(column: Column) -> tuple[PersonTable, PersonTable]:
    """The conditions that select the person's rows in the column's table and its quarantine."""
    table, quarantine = column.table.name, names.quarantine(column.table.name)
    if not bare(column.type):
        why = f"Left as it is: its {column.name} is {column.type}, which holds many values."
        return PersonTable(table, "table", "", why), PersonTable(quarantine, "quarantine", "", why)
    rows = PersonTable(table, "table", equals(identifier(column.name), column.type))
    if column.expression:
        why = f"Left as it is: {column.name} is computed. Erase by a column that it is made of."
        return rows, PersonTable(quarantine, "quarantine", "", why)
    return (
        rows,
        PersonTable(quarantine, "quarantine", _in_message(column)),
    )


def _in_message(column: Column) -> str:
    """A SQL condition: the raw message has the value at the column's path, in any JSON notation.

    ``"42"``, ``42`` and ``42.0`` are the same person in a message that did not fit. A message that
    is not JSON at all is that person's if it contains the value anywhere.
    """
    text = METADATA if column.metadata else "raw"
    place = (column.metadata,) if column.metadata else paths.segments(column.path or column.name)
    keys = located.arguments(place)
    raw = f"JSONExtractRaw({text}, {keys})"
    as_text = f"JSONExtractString({text}, {keys}) = {{value:String}}"
    as_sent = f"{raw} = {{value:String}}"
    typed = cast(column.type)
    plain = string(bare(column.type))
    unquoted = f"if(startsWith({raw}, '\"'), JSONExtractString({text}, {keys}), {raw})"
    as_typed = f"ifNull(accurateCastOrNull({unquoted}, {plain}) = {typed}, 0)"
    broken = "(NOT isValidJSON(raw) AND position(raw, {value:String}) > 0)"
    return f"({as_text} OR {as_sent} OR {as_typed} OR {broken})"


def remarks(tenant: Tenant) -> list[str]:
    """Notes on what an erasure in ClickHouse does not reach."""
    notes = [_BROKERS, _LEDGER]
    spool = SpooledEvents.objects.filter(partition__source__tenant=tenant)
    waiting = spool.aggregate(events=Sum("count", default=0))["events"]
    if waiting:
        notes.append(
            f"{waiting:,} events wait for their tables: repeat the erasure when they have landed."
        )
    if UnknownFields.objects.filter(table__tenant=tenant).exists():
        notes.append(_EXAMPLES)
    return notes
