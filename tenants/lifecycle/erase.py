"""Erasing one person's rows, found by a column's value, wherever the tenant's warehouse has them.

``ALTER TABLE … DELETE`` rewrites the parts, so that the rows are gone from the disk when it
returns; a lightweight DELETE would only hide them until the next merge.
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
    """Rows of the person's in one table, before and after. ``advice``: why they could not be told.

    ``before`` and ``after`` are None where they can't be counted.
    """

    table: str
    kind: str
    before: int | None
    after: int | None
    advice: str = ""


@dataclass(frozen=True, slots=True)
class EraseReport:
    """``remarks``: what is not in the warehouse, or can come back. ``erased``: it was done."""

    column: str
    places: tuple[Erased, ...]
    remarks: tuple[str, ...]
    erased: bool

    @property
    def rows(self) -> int:
        """Rows found, in all places."""
        return sum(one.before or 0 for one in self.places)


def erase(
    tenant: Tenant, column: str, value: str, *, table: str = "", preview: bool = True
) -> EraseReport:
    """Count the rows with that value and, unless it is a preview, delete them. Safe to repeat.

    Looks in all tables that have the column, or in ``table`` and what hangs on it. Raises
    TenantRefused where there is no such column or the value is none of its type, WarehouseError.
    """
    if not value:
        msg = "Give the value that tells whose rows they are; an empty one would be many people's."
        raise TenantRefused(msg)
    if "\0" in column + table:
        msg = "A column and a table are named without NUL characters."
        raise TenantRefused(msg)
    warehouse = _warehouse(tenant)
    places = _places(tenant, warehouse.database, column, table)
    if not any(one.condition for one in places):
        wanted = f"the table {table!r}" if table else "any table"
        msg = f"There is no column {column!r} in {wanted} of {tenant.slug} to find rows by."
        raise TenantRefused(msg)
    _check_value(places, warehouse.database, column, value)
    done = tuple(_erased(warehouse.database, one, value, preview=preview) for one in places)
    if not preview:
        # The value is the person's, so the log must not have it.
        counted = {one.table: one.before for one in done if one.before}
        detail: dict[str, object] = {"column": column, "rows": counted}
        record("tenant.erase", tenant, tenant=tenant, detail=detail)
    remarks = tuple(line for remark in registry.remarks for line in remark(tenant))
    return EraseReport(column, done, remarks, erased=not preview)


def _warehouse(tenant: Tenant) -> Warehouse:
    warehouse = Warehouse.objects.filter(tenant=tenant.pk, applied__gt=0).first()
    if warehouse is None:
        msg = f"{tenant.slug} has no warehouse yet, so there is nothing to erase."
        raise TenantRefused(msg)
    return warehouse


def _places(tenant: Tenant, database: str, column: str, table: str) -> list[PersonTable]:
    """Tables and quarantines, which the apps know, and the rollups that stand beside them."""
    known = [place for find in registry.finders for place in find(tenant, column, table)]
    ours = {place.table for find in registry.finders for place in find(tenant, "", "")}
    return known + rollups.places(database, column, ours, behind=table)


def _check_value(places: Sequence[PersonTable], database: str, column: str, value: str) -> None:
    """Raise TenantRefused where no such column's type has the value: it would be found nowhere."""
    types = types_of(database, column)
    wanted = {types[place.table] for place in places if place.table in types}
    casts = [f"isNotNull({cast(one)})" for one in sorted(wanted)]
    if not casts or any(client.rows(f"SELECT {', '.join(casts)}", {"value": value})[0].values()):
        return
    msg = f"{value!r} is no value of {column}, which is {' or '.join(sorted(wanted))}."
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
