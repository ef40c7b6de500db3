"""Asks ClickHouse about files before they are saved: rehearses tables and publishes queries.

All of it happens in the single transaction of ``apply``: if ClickHouse refuses a table or query,
everything is rolled back. If tables change, queries are checked against empty copies of all the
tenant's tables, because the tables themselves are created after the transaction.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from analytics_api.guard import QueryRefused
from analytics_api.models import SavedQuery
from analytics_api.query_client import Account
from analytics_api.services import saved_queries
from analytics_api.services.saved_queries import CheckTarget
from ingestion import ddl, rehearsal
from ingestion.models import Table
from ingestion.provision import spec_of
from ingestion.services import tables
from millrace.configuration import objects
from millrace.configuration.changes import Change
from millrace.configuration.document import Document
from millrace.configuration.errors import Mistake
from millrace.configuration.part import Part
from tenants.models import Tenant
from tenants.warehouse import client
from tenants.warehouse.errors import StatementFailed, WarehouseUnreachable


def rehearse(part: Part) -> list[Change]:
    """Try a tenant's part of a file; returns the changes to its endpoints.

    Notes mistakes at their position. If there are any, the caller rolls the transaction back.
    """
    owner = Tenant.objects.select_related("warehouse").get(slug=part["slug"])
    try:
        if _changes_tables(part, owner):
            with rehearsal.stage() as database:
                return list(_on_stage(part, owner, database))
        return list(_endpoints(part, owner, None))
    except WarehouseUnreachable:
        part.mistake((), objects.NOT_CHECKED)
    except StatementFailed as error:  # creating the stage, or copying a table to it
        part.mistake((), f"ClickHouse refuses this: {_without_stage(error)}")
    return []


def _changes_tables(part: Part, owner: Tenant) -> bool:
    return not owner.warehouse.applied or any(_is_wished(row) for _, row in _tables(part, owner))


def _is_wished(table: Table) -> bool:
    return table.applied != table.generation or not table.version


def _tables(part: Part, owner: Tenant) -> Iterator[tuple[Part, Table]]:
    for inner in part.parts("tables"):
        yield inner, Table.objects.get(tenant=owner, name=inner["name"])


def _on_stage(part: Part, owner: Tenant, database: str) -> Iterator[Change]:
    before = len(part.mistakes)
    for inner, row in _tables(part, owner):
        if _is_wished(row):
            try:
                tables.rehearse_table(row, _spec(row, owner), database)
            except ddl.SpecError as error:
                objects.note_problems(inner, error)
    if len(part.mistakes) == before:  # otherwise queries would fail because a table is missing
        _copy_others(owner, database)
        place = CheckTarget(database, Account(database, *client.credentials()))
        yield from _endpoints(part, owner, place)


def _spec(row: Table, owner: Tenant) -> ddl.TableSpec:
    spec = spec_of(row)
    return spec if owner.warehouse.applied else replace(spec, database="")


def _copy_others(owner: Tenant, database: str) -> None:
    """Copy the tables that the file does not change, without rows, so that queries find them."""
    if not owner.warehouse.applied:
        return
    there = set(saved_queries.readable_tables(database))
    for name in saved_queries.readable_tables(owner.warehouse.database):
        if name not in there:
            rehearsal.copy(owner.warehouse.database, name, database)


def _endpoints(part: Part, owner: Tenant, place: CheckTarget | None) -> Iterator[Change]:
    for inner in part.parts("queries"):
        row = SavedQuery.objects.get(tenant=owner, name=inner["name"])
        row.tenant = owner
        # Publish what the file has at the top level; the saved row keeps the draft, if any.
        row.sql, row.parameters = inner["sql"].strip(), inner.get("parameters", {})
        before = row.published_id
        try:
            _bring_endpoint(row, place, published=inner.get("published", True))
        except (QueryRefused, StatementFailed) as error:
            inner.mistake(("sql",), _refusal(error, row.sql, owner, place))
            continue
        if row.published_id != before:
            version = row.published.number if row.published else None
            yield Change("endpoint", str(row), before is None, {"version": (None, version)}, row)


def _refusal(
    error: QueryRefused | StatementFailed, sql: str, owner: Tenant, place: CheckTarget | None
) -> str:
    """The message about a query, with the stage's random name replaced by the tenant's database."""
    if place is None:
        return str(error)
    own = owner.warehouse.database
    if error.code == "unknown_table" and re.search(rf"\b{re.escape(own)}[`\"]?\s*\.", sql):
        return (
            f"Leave out the database name {own}: if tables change, queries are first tried in "
            "another database."
        )
    return str(error).replace(place.database, own)


def _without_stage(error: StatementFailed) -> str:
    return re.sub(rf"`?{rehearsal.PREFIX}\w+`?\.?", "", str(error))


def _bring_endpoint(row: SavedQuery, place: CheckTarget | None, *, published: bool) -> None:
    if published:
        saved_queries.publish(row, place=place)
    elif row.is_published:
        saved_queries.unpublish(row)


def rehearse_all(documents: Sequence[Document], mistakes: list[Mistake]) -> list[Change]:
    """Rehearse all tenants of all files."""
    return [
        change
        for document in documents
        for part in Part(document, (), document.content, mistakes).parts("tenants")
        for change in rehearse(part)
    ]
