"""Finds the published queries that read a table, which would fail without it."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import suppress

from analytics_api import guard, identifiers
from analytics_api.guard import QueryRefused
from analytics_api.guard.clickhouse_parser import Ask
from analytics_api.guarded import readable_tables
from analytics_api.models import SavedQuery, SavedQueryVersion
from tenants.models import Tenant
from tenants.warehouse import client
from tenants.warehouse.errors import WarehouseError


def readers(tenant: Tenant, tables: Collection[str], word: str = "") -> list[str]:
    """Names of the tenant's published queries that read any of these tables, in order.

    With a ``word``, such as a column's name, only those whose text contains it.

    The guard finds the tables in the statement's tree. If it can't read a statement (written by an
    earlier release, or because ClickHouse does not answer), a table's name in the text is enough:
    a needless warning is better than a query that fails without one.
    """
    rows = SavedQuery.objects.filter(tenant=tenant).exclude(published=None)
    versions = {
        query.name: query.published for query in rows.select_related("published").order_by("name")
    }
    named = {
        name: version
        for name, version in versions.items()
        if version and _says(version, tables) and _says(version, [word])
    }
    if not named or not hasattr(tenant, "warehouse"):
        return list(named)
    database, known, ask = tenant.warehouse.database, tables, None
    with suppress(WarehouseError):
        known, ask = readable_tables(database), client.read_only_rows
    return [
        name for name, version in named.items() if _reads(version, tables, known, database, ask)
    ]


def _says(version: SavedQueryVersion, names: Collection[str]) -> bool:
    """Whether the text, or a name that may be put into it, contains any of ``names``."""
    put_in = (name for stored in version.parameters for name in stored.get("allowed", ()))
    texts = [version.sql, *put_in]
    return any(name in text for name in names for text in texts)


def _reads(
    version: SavedQueryVersion,
    tables: Collection[str],
    known: Collection[str],
    database: str,
    ask: Ask | None,
) -> bool:
    try:
        return any(
            not guard.check(sql, tables=known, database=database, ask=ask).tables.isdisjoint(tables)
            for sql in _statements(version)
        )
    except (QueryRefused, WarehouseError):
        return True


def _statements(version: SavedQueryVersion) -> Iterator[str]:
    """Every statement that the version becomes with the names of its Identifier parameters."""
    choices = {
        stored["name"]: stored["allowed"] for stored in version.parameters if "allowed" in stored
    }
    yield from identifiers.statements(version.sql, choices) if choices else (version.sql,)
