"""Erases one person's rows, found by the value of a column, from a tenant's whole warehouse.

It uses ``ALTER TABLE … DELETE``, which rewrites the parts, so the rows are gone from the disk when
it returns. A lightweight DELETE would only hide them until the next merge.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tenants.audit import record
from tenants.errors import TenantRefused
from tenants.lifecycle import registry, rollups
from tenants.lifecycle.mutation import delete_rows
from tenants.lifecycle.registry import PersonTable
from tenants.lifecycle.rollups import types_of
from tenants.lifecycle.sql import cast
from tenants.models import Tenant, Warehouse
from tenants.warehouse import client
from tenants.warehouse.quoting import identifier, string


@dataclass(frozen=True, slots=True)
class Erased:
    """A person's rows in one table, before and after.

    ``before`` and ``after`` are None if the rows can't be identified; ``advice`` says why.
    """

    table: str
    kind: str
    before: int | None
    after: int | None
    advice: str = ""


@dataclass(frozen=True, slots=True)
class EraseReport:
    """The result of an erasure or, unless ``erased``, of its preview.

    ``remarks``: what the erasure does not reach, or what can come back.
    """

    column: str
    places: tuple[Erased, ...]
    remarks: tuple[str, ...]
    erased: bool

    @property
    def rows(self) -> int:
        """The number of rows found in all places."""
        return sum(place.before or 0 for place in self.places)


def erase(
    tenant: Tenant, column: str, value: str, *, table: str = "", preview: bool = True
) -> EraseReport:
    """Count the rows with this value and, unless it is a preview, delete them. Safe to repeat.

    Searches all tables that have the column, or only ``table`` with its quarantine and rollups.
    Raises TenantRefused if no table has the column or the value does not fit its type, and
    WarehouseError.
    """
    if not value:
        msg = "Give the value that identifies the person. An empty value would match many people."
        raise TenantRefused(msg)
    if "\0" in column + table:
        msg = "The names of a column and a table can't contain NUL characters."
        raise TenantRefused(msg)
    warehouse = _warehouse(tenant)
    places = _places(tenant, warehouse.database, column, table)
    if not any(place.condition for place in places):
        searched = f"The table {table!r} of {tenant.slug}" if table else f"{tenant.slug}"
        msg = f"{searched} has no column {column!r} to find rows by."
        raise TenantRefused(msg)
    _check_value(places, warehouse.database, column, value)
    erased = tuple(_erased(warehouse.database, place, value, preview=preview) for place in places)
    if not preview:
        # The value is personal data, so the log must not contain it.
        counts = {place.table: place.before for place in erased if place.before}
        detail: dict[str, object] = {"column": column, "rows": counts}
        record("tenant.erase", tenant, tenant=tenant, detail=detail)
    remarks = tuple(line for remark in registry.remarks for line in remark(tenant))
    return EraseReport(column, erased, remarks, erased=not preview)


def _warehouse(tenant: Tenant) -> Warehouse:
    warehouse = Warehouse.objects.filter(tenant=tenant.pk, applied__gt=0).first()
    if warehouse is None:
        msg = f"{tenant.slug} has no warehouse yet, so there is nothing to erase."
        raise TenantRefused(msg)
    return warehouse


def _places(tenant: Tenant, database: str, column: str, table: str) -> list[PersonTable]:
    """The tables and quarantines that the apps know, and the rollups beside them."""
    known = [place for find in registry.finders for place in find(tenant, column, table)]
    ours = {place.table for find in registry.finders for place in find(tenant, "", "")}
    return known + rollups.places(database, column, ours, behind=table)


def _check_value(places: Sequence[PersonTable], database: str, column: str, value: str) -> None:
    """Raise TenantRefused if the value fits none of the column's types, so can't be found."""
    types = types_of(database, column)
    kinds = sorted({types[place.table] for place in places if place.table in types})
    casts = [f"isNotNull({cast(kind)})" for kind in kinds]
    if not casts or any(client.rows(f"SELECT {', '.join(casts)}", {"value": value})[0].values()):
        return
    msg = f"{value!r} is not a value of {column}, which has the type {' or '.join(kinds)}."
    raise TenantRefused(msg)


def _erased(database: str, place: PersonTable, value: str, *, preview: bool) -> Erased:
    if not place.condition:
        return Erased(place.table, place.kind, None, None, place.advice)
    at = f"{identifier(database)}.{identifier(place.table)}"
    before = _count(at, place, value)
    if preview or not before:
        return Erased(place.table, place.kind, before, before)
    condition = place.condition.replace("{value:String}", string(value))
    delete_rows(database, place.table, condition)
    return Erased(place.table, place.kind, before, _count(at, place, value))


def _count(at: str, place: PersonTable, value: str) -> int:
    sql = f"SELECT count() AS n FROM {at} WHERE {place.condition}"  # noqa: S608 - names of ours
    return int(client.rows(sql, {"value": value})[0]["n"])
