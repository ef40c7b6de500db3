"""ClickHouse as a store: the tenant's database, its tables and its user."""

from __future__ import annotations

from collections.abc import Mapping

from tenants.lifecycle import registry
from tenants.lifecycle.registry import Doomed
from tenants.provisioning.warehouse import remove
from tenants.warehouse import client
from tenants.warehouse.errors import translated
from tenants.warehouse.statements import own_identifier

_TABLES = """
SELECT name, engine, uuid, create_table_query, as_select, dependencies_table,
       ifNull(total_rows, 0) AS rows
FROM system.tables WHERE database = {database:String} ORDER BY name
"""


def tables(database: str) -> list[dict[str, object]]:
    """The tables and views of a database: name, engine, rows, a view's SELECT, dependent views."""
    return client.rows(_TABLES, {"database": database})


def holds_rows(table: Mapping[str, object]) -> bool:
    """Whether the table stores a tenant's rows; views, ``Null`` tables and notes don't."""
    if any(is_note(str(table["name"])) for is_note in registry.notes):
        return False
    engine = str(table["engine"])
    return engine.endswith("MergeTree") or engine in {"Log", "TinyLog", "StripeLog", "Memory"}


class WarehouseStore:
    """The database ``t_<slug>`` and the user with the same name."""

    name = "ClickHouse"

    def settle(self, doomed: Doomed) -> None:
        """Nothing to wait for: the stores of the apps that insert have waited for their workers."""

    def count(self, doomed: Doomed) -> Mapping[str, int]:
        rows = tables(doomed.database)
        held = {f"rows of {row['name']}": int(str(row["rows"])) for row in rows if holds_rows(row)}
        databases = client.rows(
            "SELECT count() AS n FROM system.databases WHERE name = {database:String}",
            {"database": doomed.database},
        )
        return held | {
            "tables and views": len(rows),
            "databases": int(databases[0]["n"]),
            "users": _users().count(doomed.username),
        }

    def remove(self, doomed: Doomed) -> list[str]:
        own_identifier(doomed.database)
        remove(doomed.database, doomed.username)
        return []


def _users() -> list[str]:
    """The server's users. The statement has no FORMAT: the embedded engine knows it only so."""
    with translated():
        return str(client.admin().command("SHOW USERS")).split()
