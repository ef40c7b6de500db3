"""Tables that somebody has put beside Millrace's own, filled by materialized views."""

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

Found = Mapping[str, object]


def types_of(database: str, column: str) -> dict[str, str]:
    """By table that has the column: its type."""
    rows = client.rows(_COLUMNS, {"database": database, "column": column})
    return {str(row["table"]): str(row["type"]) for row in rows}


def places(database: str, column: str, ours: set[str], behind: str = "") -> list[PersonTable]:
    """Of each table that is not among ``ours``, how to find the person's rows or what to do.

    With ``behind`` only those that are filled from that table.
    """
    found = tables(database)
    types = types_of(database, column)
    wanted = _behind(behind, found) if behind else {str(one["name"]) for one in found}
    return [
        _place(one, types.get(str(one["name"]), ""), column, database, found)
        for one in found
        if holds_rows(one) and one["name"] in wanted - ours
    ]


def _place(
    one: Found, kind: str, column: str, database: str, found: Sequence[Found]
) -> PersonTable:
    name = str(one["name"])
    if kind and bare(kind):
        return PersonTable(name, "rollup", equals(identifier(column), kind))
    why = f"its {column} is {kind}" if kind else f"it has no column {column}"
    return PersonTable(
        name, "rollup", "", f"Left as it is: {why}. {_rebuilding(name, database, found)}"
    )


def _rebuilding(name: str, database: str, found: Sequence[Found]) -> str:
    """What an operator can do with sums that one person's share can't be taken out of."""
    selects = [str(view["as_select"]) for view in found if target(view) == name]
    at = f"{identifier(database)}.{identifier(name)}"
    if not selects:
        return "No view fills it: look at it, and delete by hand what is that person's."
    inserts = " ".join(f"INSERT INTO {at} {select};" for select in selects)
    return (
        f"To rebuild it from what is left, while its sources are paused: TRUNCATE {at}; {inserts}"
    )


def target(view: Found) -> str:
    """Where a materialized view writes to, '' for what is none."""
    if view["engine"] != "MaterializedView":
        return ""
    stated = _TARGET.match(str(view["create_table_query"]))
    return (stated[1] or stated[2]) if stated else f".inner_id.{view['uuid']}"


def _behind(table: str, found: Sequence[Found]) -> set[str]:
    """All tables that views fill from ``table``, directly or through others."""
    by_name = {str(one["name"]): one for one in found}
    reached: set[str] = set()
    waiting = [table]
    while waiting:
        one = by_name.get(waiting.pop())
        if one is None:
            continue
        views = [str(name) for name in one["dependencies_table"] or ()]  # type: ignore[attr-defined]
        new = {target(by_name[name]) for name in views if name in by_name} - reached
        reached |= new
        waiting += new
    return reached
