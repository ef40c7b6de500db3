"""A caller's row filters, as ClickHouse is told of them: ``additional_table_filters``.

The engine puts the condition behind every reading of the table, whatever the query calls it and
wherever it stands, so that no text of a query gets round it. Two things are held here besides: a
query that reads a table without a filter does not run, and neither does one with PREWHERE, whose
condition would see rows before the filter does (a division by zero then tells of them).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from analytics_api import guard
from analytics_api.guard import QueryRefused
from analytics_api.guard.conditions import columns_of
from tenants.filters import EVERY, FilterRefused
from tenants.models import Tenant
from tenants.recent import Recent
from tenants.warehouse import client
from tenants.warehouse.quoting import identifier, string

#: A table's new column is known after this many seconds at the latest.
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
    """The query reads what the caller's row filters don't cover; it must not run."""


def forget() -> None:
    """Look at every table anew, as after a change within this process."""
    _columns.forget()


def setting(filters: Filters, database: str, sql: str) -> str:
    """ClickHouse's setting under which ``sql``, which the guard let pass, may run.

    Raises FilterMissing, and WarehouseError where the engine can't be asked of the tables, or of
    what the text says. Both are remembered, the latter for as long as the tables stay as they are.
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
    found = {table: _condition(dict(filters), table, columns[table]) for table in guarded.tables}
    return _map({f"{database}.{table}": condition for table, condition in found.items()})


def _condition(filters: Mapping[str, str], table: str, columns: frozenset[str]) -> str:
    condition = filters.get(table)
    if condition is None:
        condition = filters.get(EVERY)
        if condition is None or not columns_of(condition) <= columns:
            raise FilterMissing(f"No row filter is for the table {table}.")
    return condition


def _map(pairs: Mapping[str, str]) -> str:
    """A map as ClickHouse reads it from a setting's text."""
    return "{" + ", ".join(f"{string(k)}: {string(v)}" for k, v in sorted(pairs.items())) + "}"


class ConditionChecker:
    """Judges the conditions of keys and tokens; ``tenants.filters`` asks it."""

    def condition(self, text: str) -> None:
        try:
            columns_of(text)
        except QueryRefused as error:
            raise FilterRefused(error.message) from None

    def fits(self, tenant: Tenant, filters: Mapping[str, str]) -> None:
        """Each condition must be one on some table, as the tenant's own user runs it."""
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
            for one in _fitting(table, condition, readable):
                _try(tenant, one, condition)


def _fitting(table: str, condition: str, readable: Mapping[str, frozenset[str]]) -> list[str]:
    """The tables that a condition is for; raises FilterRefused where there is none."""
    if table != EVERY and table not in readable:
        known = ", ".join(readable) or "none yet"
        raise FilterRefused(f"There is no table {table!r}. Its tables: {known}.")
    wanted = columns_of(condition)
    fitting = [one for one in readable if wanted <= readable[one] and table in (EVERY, one)]
    if not fitting:
        where = "No table has" if table == EVERY else f"The table {table} lacks"
        raise FilterRefused(f"{where} the columns of {condition!r}: {', '.join(sorted(wanted))}.")
    return fitting


def _try(tenant: Tenant, table: str, condition: str) -> None:
    from analytics_api.services.saved_queries import check_query

    sql = f"SELECT ({condition}\n) AS f FROM {identifier(table)}"  # noqa: S608 - the guard checks it
    try:
        kind = check_query(tenant, sql).columns[0]["type"]
    except QueryRefused as error:
        raise FilterRefused(f"{condition!r}: {error.message}") from None
    if kind not in _CONDITIONS:
        msg = f"{condition!r} is no condition on {table}: it is a {kind}, not true or false."
        raise FilterRefused(msg)
