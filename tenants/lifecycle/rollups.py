"""Finds a person's rows in rollups: tables that operators added beside Millrace's own, filled by
materialized views.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from tenants.lifecycle.registry import PersonTable
from tenants.lifecycle.sql import bare, equals
from tenants.lifecycle.warehouse_store import holds_rows, tables
from tenants.warehouse import client
from tenants.warehouse.quoting import identifier

_COLUMNS = """
SELECT table, type FROM system.columns WHERE database = {database:String}
AND name = {column:String} AND default_kind NOT IN ('ALIAS', 'EPHEMERAL')
"""
_TARGET = re.compile(
    r"^CREATE MATERIALIZED VIEW \S+ (?:.*? )?TO \S+\.(?:`((?:[^`\\]|\\.)+)`|(\w+))"
)

#: A row of ``warehouse_store.tables``.
TableRow = Mapping[str, object]


def types_of(database: str, column: str) -> dict[str, str]:
    """The type of the column in each table that has it."""
    rows = client.rows(_COLUMNS, {"database": database, "column": column})
    return {str(row["table"]): str(row["type"]) for row in rows}


def places(database: str, column: str, ours: set[str], behind: str = "") -> list[PersonTable]:
    """How to find the person's rows in each table that is not in ``ours``, or what to do instead.

    With ``behind``, only tables that views fill from that table.
    """
    rows = tables(database)
    types = types_of(database, column)
    searched = _behind(behind, rows) if behind else {str(row["name"]) for row in rows}
    return [
        _place(row, types.get(str(row["name"]), ""), column, database, rows)
        for row in rows
        if holds_rows(row) and row["name"] in searched - ours
    ]


def _place(
    table: TableRow, kind: str, column: str, database: str, rows: Sequence[TableRow]
) -> PersonTable:
    name = str(table["name"])
    if kind and bare(kind):
        return PersonTable(name, "rollup", equals(identifier(column), kind))
    why = f"its {column} is {kind}" if kind else f"it has no column {column}"
    return PersonTable(
        name, "rollup", "", f"Not changed: {why}. {_rebuilding(name, database, rows)}"
    )


def _rebuilding(name: str, database: str, rows: Sequence[TableRow]) -> str:
    """What to do with a table of sums, from which one person's share can't be removed."""
    selects = [str(view["as_select"]) for view in rows if target(view) == name]
    at = f"{identifier(database)}.{identifier(name)}"
    if not selects:
        return "No view fills it. Check it and delete that person's data by hand."
    inserts = " ".join(f"INSERT INTO {at} {select};" for select in selects)
    return (
        f"To rebuild it from the rows that are left, pause its sources and run: "
        f"TRUNCATE {at}; {inserts}"
    )


def target(view: TableRow) -> str:
    """The table that a materialized view writes to; '' if ``view`` is not one."""
    if view["engine"] != "MaterializedView":
        return ""
    stated = _TARGET.match(str(view["create_table_query"]))
    return (stated[1] or stated[2]) if stated else f".inner_id.{view['uuid']}"


def _behind(table: str, rows: Sequence[TableRow]) -> set[str]:
    """All tables that views fill from ``table``, directly or through other tables."""
    by_name = {str(row["name"]): row for row in rows}
    reached: set[str] = set()
    waiting = [table]
    while waiting:
        row = by_name.get(waiting.pop())
        if row is None:
            continue
        views = [str(name) for name in row["dependencies_table"] or ()]  # type: ignore[attr-defined]
        new = {target(by_name[name]) for name in views if name in by_name} - reached
        reached |= new
        waiting += new
    return reached
