"""A caller's row filters as a ClickHouse setting: ``additional_table_filters``.

ClickHouse applies the condition to every read of the table, whatever the query calls the table and
wherever it stands, so no query text can avoid it. This module adds two rules. A query that reads a
table without a filter does not run. Neither does a query with PREWHERE: its condition would see
rows before the filter does, and for example a division by zero would reveal them.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from analytics_api import guard
from analytics_api.guard import QueryRefused
from tenants.filters import EVERY, FilterRefused
from tenants.models import Tenant
from tenants.recent import Recent
from tenants.warehouse import client
from tenants.warehouse.quoting import identifier, string

#: A table's new column takes effect after at most this many seconds.
MEMORY_SECONDS = 5.0
_COLUMNS_SQL = (
    "SELECT table, groupArray(name) AS columns FROM system.columns "
    "WHERE database = {database:String} GROUP BY table"
)
_CONDITIONS = frozenset({"UInt8", "Bool", "Nullable(UInt8)", "Nullable(Bool)"})
Filters = tuple[tuple[str, str], ...]
Columns = frozenset[tuple[str, frozenset[str]]]

_columns: Recent[str, Columns] = Recent(MEMORY_SECONDS)


class FilterMissing(Exception):
    """The query reads something that the caller's row filters don't cover. It must not run."""


def _columns_of(condition: str) -> frozenset[str]:
    # sqlglot takes a tenth of a second to import, and only keys with row filters need it.
    from analytics_api.guard.conditions import columns_of

    return columns_of(condition)


def forget() -> None:
    """Look up the tables' columns again; for use after a change in this process."""
    _columns.forget()


def setting(filters: Filters, database: str, sql: str) -> str:
    """The value of ClickHouse's setting for ``sql``, which passed the guard; '' without filters.

    Raises FilterMissing, and WarehouseError if ClickHouse can't be asked about the tables or the
    text. The tables are remembered for MEMORY_SECONDS, the text's setting for as long as
    they have the same columns.
    """
    if not filters:
        return ""
    return _setting(filters, database, sql, _columns.get(database, lambda: _look_up(database)))


def _look_up(database: str) -> Columns:
    rows = client.rows(_COLUMNS_SQL, {"database": database})
    return frozenset((row["table"], frozenset(row["columns"])) for row in rows)


@lru_cache(maxsize=10_000)
def _setting(filters: Filters, database: str, sql: str, known: Columns) -> str:
    columns = dict(known)
    try:
        guarded = guard.check(sql, tables=columns, database=database, ask=client.read_only_rows)
    except QueryRefused as error:
        raise FilterMissing(error.message) from None
    if guarded.has_prewhere:
        raise FilterMissing("PREWHERE sees rows before a row filter does. Write WHERE.")
    conditions = {
        f"{database}.{table}": _condition(dict(filters), table, columns[table])
        for table in guarded.tables
    }
    return _map(conditions)


def _condition(filters: Mapping[str, str], table: str, columns: frozenset[str]) -> str:
    condition = filters.get(table)
    if condition is None:
        condition = filters.get(EVERY)
        if condition is None or not _columns_of(condition) <= columns:
            raise FilterMissing(f"No row filter covers the table {table}.")
    return condition


def _map(pairs: Mapping[str, str]) -> str:
    """A map in the notation that ClickHouse reads in a setting's value."""
    return "{" + ", ".join(f"{string(k)}: {string(v)}" for k, v in sorted(pairs.items())) + "}"


class ConditionChecker:
    """Checks the row filters of keys and tokens, for ``tenants.filters``."""

    def condition(self, text: str) -> None:
        try:
            _columns_of(text)
        except QueryRefused as error:
            raise FilterRefused(error.message) from None

    def fits(self, tenant: Tenant, filters: Mapping[str, str]) -> None:
        """Raise FilterRefused unless each condition runs on a table, as the tenant's own user."""
        if not hasattr(tenant, "warehouse"):
            raise FilterRefused("The tenant has no warehouse yet: wait until it is ready.")
        from analytics_api.services.saved_queries import readable_tables

        columns = dict(_look_up(tenant.warehouse.database))
        readable = {
            name: columns[name]
            for name in readable_tables(tenant.warehouse.database)
            if name in columns
        }
        for table, condition in filters.items():
            for name in _fitting(table, condition, readable):
                _try(tenant, name, condition)


def _fitting(table: str, condition: str, readable: Mapping[str, frozenset[str]]) -> list[str]:
    """The tables that have a condition's columns. Raises FilterRefused if no table has them."""
    if table != EVERY and table not in readable:
        known = ", ".join(readable) or "none yet"
        raise FilterRefused(f"The tenant has no table {table!r}. Its tables: {known}.")
    columns = _columns_of(condition)
    fitting = [name for name in readable if columns <= readable[name] and table in (EVERY, name)]
    if not fitting:
        where = "No table has" if table == EVERY else f"The table {table} lacks"
        raise FilterRefused(f"{where} the columns of {condition!r}: {', '.join(sorted(columns))}.")
    return fitting


def _try(tenant: Tenant, table: str, condition: str) -> None:
    from analytics_api.services.saved_queries import check_query

    sql = f"SELECT ({condition}\n) AS f FROM {identifier(table)}"  # noqa: S608 - the guard checks it
    try:
        kind = check_query(tenant, sql).columns[0]["type"]
    except QueryRefused as error:
        raise FilterRefused(f"{condition!r}: {error.message}") from None
    if kind not in _CONDITIONS:
        msg = f"{condition!r} is not a condition on {table}: its type is {kind}, not true or false."
        raise FilterRefused(msg)
