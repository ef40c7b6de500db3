"""Which published queries read a table: they fail once it is gone."""

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

    Given a ``word``, such as a column's name, only those that say it.

    The guard tells it from the statement's tree. Of a statement that it can't read (of an earlier
    release, or because ClickHouse does not answer), a table's name in the text is enough: rather
    one too many than one that fails without a warning.
    """
    rows = SavedQuery.objects.filter(tenant=tenant).exclude(published=None)
    versions = {
        one.name: one.published for one in rows.select_related("published").order_by("name")
    }
    named = {
        name: one
        for name, one in versions.items()
        if one and _says(one, tables) and _says(one, [word])
    }
    if not named or not hasattr(tenant, "warehouse"):
        return list(named)
    database, known, ask = tenant.warehouse.database, tables, None
    with suppress(WarehouseError):
        known, ask = readable_tables(database), client.read_only_rows
    return [name for name, one in named.items() if _reads(one, tables, known, database, ask)]


def _says(version: SavedQueryVersion, names: Collection[str]) -> bool:
    """Whether the text, or what may be put into it, has one of the names anywhere."""
    texts = [version.sql, *(name for one in version.parameters for name in one.get("allowed", ()))]
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
            not guard.check(one, tables=known, database=database, ask=ask).tables.isdisjoint(tables)
            for one in _statements(version)
        )
    except (QueryRefused, WarehouseError):
        return True


def _statements(version: SavedQueryVersion) -> Iterator[str]:
    """Each statement that its parameters which are names can make of it."""
    choices = {one["name"]: one["allowed"] for one in version.parameters if "allowed" in one}
    yield from identifiers.statements(version.sql, choices) if choices else (version.sql,)
