"""Bringing tables in ClickHouse to what their rows ask for."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager

from django.conf import settings
from django.db import connection

from ingestion import ddl, versions
from ingestion.errors import IngestionError
from ingestion.models import Table
from tenants.models import Plan, Warehouse
from tenants.warehouse import client
from tenants.warehouse.errors import WarehouseError
from tenants.warehouse.statements import MOST_DAYS

log = logging.getLogger(__name__)

_NO_WAREHOUSE = "The tenant's warehouse is not ready yet; the table is made after it."


_POLL = 0.1


class TableBusy(IngestionError):
    """Another process makes or alters the table; nothing was changed."""


def spec_of(table: Table, columns: tuple[ddl.ColumnSpec, ...] | None = None) -> ddl.TableSpec:
    """The description that DDL is made from; ``columns`` stand for those that are not saved yet."""
    warehouse = Warehouse.objects.filter(tenant=table.tenant_id).first()
    return ddl.TableSpec(
        database=warehouse.database if warehouse else "",
        name=table.name,
        columns=columns_of(table) if columns is None else columns,
        sorting_key=tuple(table.sorting_key),
        partition_key=table.partition_key.strip(),
        ttl=table.ttl.strip(),
        quarantine_days=table.quarantine_days,
        cluster=settings.CLICKHOUSE_CLUSTER,
        retention_days=retention_of(table),
    )


def retention_of(table: Table) -> int:
    """Days after which the plan of its tenant deletes rows; 0: it does not."""
    plan = Plan.objects.filter(tenants=table.tenant_id).first()
    return min((plan.retention_days if plan else None) or 0, MOST_DAYS)


def columns_of(table: Table) -> tuple[ddl.ColumnSpec, ...]:
    """Its columns as they are saved, whether ClickHouse has applied them or not."""
    return tuple(
        ddl.ColumnSpec(one.name, one.type, one.path, one.required, one.default, one.quoted_numbers)
        for one in table.columns.all()
    )


def provision_table(table: Table) -> None:
    """Make or alter the table and all beside it; the outcome stands in the row. Safe to repeat.

    Where another process is at it, nothing is done: it sees this wish, or the reconciler does.
    """
    with _alone(table) as alone:
        if not alone:
            return
        table.refresh_from_db()
        generation = table.generation
        retention = retention_of(table)
        try:
            _bring(table)
        except (WarehouseError, IngestionError) as error:
            table.failed(generation, str(error))
            return
        Table.across_tenants.filter(pk=table.pk).update(retention_days=retention)
        table.succeeded(generation)
        _tidy(table)


def tidy_table(table: Table) -> None:
    """Drop the pipelines of versions that no batch needs any more."""
    with _alone(table) as alone:
        if alone:
            table.refresh_from_db()
            _tidy(table)


def _tidy(table: Table) -> None:
    try:
        versions.drop_superseded(table, spec_of(table))
    except WarehouseError as error:
        log.info("Table %s: former views stay for now (%s)", table, error)


@contextmanager
def _alone(table: Table) -> Iterator[bool]:
    """Whether no other process works on the table; if so, it is held until the end."""
    key = f"table {table.pk}"
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(hashtextextended(%s, 0))", [key])
        (held,) = cursor.fetchone()
        try:
            yield held
        finally:
            if held:
                cursor.execute("SELECT pg_advisory_unlock(hashtextextended(%s, 0))", [key])


@contextmanager
def held(table: Table, patience: float = 30.0) -> Iterator[None]:
    """Hold the table against those who make or alter it; raises TableBusy after some seconds."""
    deadline = time.monotonic() + patience
    while True:
        with _alone(table) as alone:
            if alone:
                yield
                return
        if time.monotonic() > deadline:
            msg = f"{table} is being made or altered by another process. Try again in a moment."
            raise TableBusy(msg)
        time.sleep(_POLL)


def _bring(table: Table) -> None:
    warehouse = Warehouse.objects.filter(tenant=table.tenant_id).first()
    if warehouse is None or not warehouse.applied:
        raise IngestionError(_NO_WAREHOUSE)
    spec = spec_of(table)
    ddl.check(spec, stands=True)
    number, is_new = versions.next_number(table, spec.columns)
    spec = ddl.at_version(spec, number, spec.columns)
    statements = ddl.alter(spec, existing(spec), is_new=is_new)
    client.execute(statements, ddl.STATEMENT_SETTINGS)
    versions.note_applied(table, number, spec.columns)


def existing(spec: ddl.TableSpec) -> ddl.Existing | None:
    """What stands of a table in ClickHouse, or None; raises WarehouseError."""
    columns_sql, table_sql = ddl.read_existing(spec)
    found = client.rows(table_sql)
    if not found:
        return None
    columns = client.rows(columns_sql)
    return ddl.Existing(
        columns={row["name"]: row["type"] for row in columns},
        sorting_key=found[0]["sorting_key"],
        partition_key=found[0]["partition_key"],
        has_ttl=bool(found[0]["has_ttl"]),
        key_columns=frozenset(row["name"] for row in columns if row["is_in_key"]),
    )


def remove_table(spec: ddl.TableSpec, numbers: Collection[int]) -> None:
    """Drop the table with its rows, and all beside it of the versions of these numbers.

    So is what a failed attempt has left of the next one. Call it with the table ``held``. Raises
    WarehouseError. Safe to repeat.
    """
    for number in {1, *numbers, max(numbers, default=1) + 1}:
        client.execute(ddl.drop_pipeline(ddl.at_version(spec, number, spec.columns)))
    client.execute(ddl.drop(spec))
