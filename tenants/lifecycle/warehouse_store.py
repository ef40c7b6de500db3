"""ClickHouse: the tenant's database, its tables, its user."""

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
    """What stands in a database: name, engine, rows, the SELECT of a view, what hangs on it."""
    return client.rows(_TABLES, {"database": database})


def holds_rows(table: Mapping[str, object]) -> bool:
    """Whether the table keeps a tenant's rows, as views, ``Null`` tables and notes don't."""
    if any(is_note(str(table["name"])) for is_note in registry.notes):
        return False
    engine = str(table["engine"])
    return engine.endswith("MergeTree") or engine in {"Log", "TinyLog", "StripeLog", "Memory"}


class WarehouseStore:
    """The database ``t_<slug>`` and the user of that name."""

    name = "ClickHouse"

    def settle(self, doomed: Doomed) -> None:
        """Who inserts has been seen to by the apps that insert."""

    def count(self, doomed: Doomed) -> Mapping[str, int]:
        found = tables(doomed.database)
        held = {f"rows of {one['name']}": int(str(one["rows"])) for one in found if holds_rows(one)}
        made = client.rows(
            "SELECT count() AS n FROM system.databases WHERE name = {database:String}",
            {"database": doomed.database},
        )
        return held | {
            "tables and views": len(found),
            "databases": int(made[0]["n"]),
            "users": _users().count(doomed.username),
        }

    def remove(self, doomed: Doomed) -> list[str]:
        own_identifier(doomed.database)
        remove(doomed.database, doomed.username)
        return []


def _users() -> list[str]:
    """Of the server; the embedded engine knows the statement as it is, without a FORMAT."""
    with translated():
        return str(client.admin().command("SHOW USERS")).split()
