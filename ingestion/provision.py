"""Creates and alters tables in ClickHouse to match their description in Postgres."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager

from django.conf import settings
from django.db import connection

from ingestion import ddl, versions
from ingestion.errors import IngestionError
from ingestion.models import Source, Table
from tenants.models import Plan, Warehouse
from tenants.warehouse import client
from tenants.warehouse.errors import WarehouseError
from tenants.warehouse.statements import MOST_DAYS

log = logging.getLogger(__name__)

_NO_WAREHOUSE = "The tenant's warehouse is not ready yet. The table is created after it."


_POLL = 0.1


class TableBusy(IngestionError):
    """Another process is creating or altering the table; nothing was changed."""


def spec_of(
    table: Table,
    columns: tuple[ddl.ColumnSpec, ...] | None = None,
    filters: tuple[ddl.SourceFilter, ...] | None = None,
) -> ddl.TableSpec:
    """The description that DDL is generated from.

    ``columns`` and ``filters`` replace the saved columns, and the saved filters of its sources.
    """
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
        filters=filters_of(table) if filters is None else filters,
        has_filtered=table.has_filtered,
    )


def filters_of(table: Table) -> tuple[ddl.SourceFilter, ...]:
    """The saved filters of the sources that feed the table, by source."""
    if table.pk is None:
        return ()
    sources = Source.across_tenants.filter(table=table.pk).exclude(filter="").order_by("pk")
    return tuple(ddl.SourceFilter(one.pk, one.filter, one.name) for one in sources)


def retention_of(table: Table) -> int:
    """Days after which the tenant's plan deletes rows; 0: never."""
    plan = Plan.objects.filter(tenants=table.tenant_id).first()
    return min((plan.retention_days if plan else None) or 0, MOST_DAYS)


def columns_of(table: Table) -> tuple[ddl.ColumnSpec, ...]:
    """The table's saved columns, whether ClickHouse has applied them or not."""
    return tuple(
        ddl.ColumnSpec(
            column.name,
            column.type,
            column.path,
            column.required,
            column.default,
            column.quoted_numbers,
            column.format,
            column.metadata,
            column.expression,
        )
        for column in table.columns.all()
    )


def provision_table(table: Table) -> None:
    """Create or alter the table, its quarantine and its views. Safe to repeat.

    The outcome is saved in the table's row. If another process is working on the table, this does
    nothing: that process, or the reconciler, applies the change.
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
    """Drop the pipelines of superseded versions that no batch needs any more."""
    with _alone(table) as alone:
        if alone:
            table.refresh_from_db()
            _tidy(table)


def _tidy(table: Table) -> None:
    try:
        versions.drop_superseded(table, spec_of(table))
    except WarehouseError as error:
        log.info("Table %s: superseded views stay for now: %s", table, error)


@contextmanager
def _alone(table: Table) -> Iterator[bool]:
    """Try to lock the table, until the end of the block; yields whether that succeeded.

    An advisory lock of Postgres: it is released even if the process dies.
    """
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
    """Lock the table against being created or altered.

    Waits for the lock up to ``patience`` seconds, then raises TableBusy.
    """
    deadline = time.monotonic() + patience
    while True:
        with _alone(table) as alone:
            if alone:
                yield
                return
        if time.monotonic() > deadline:
            msg = f"Another process is creating or altering {table}. Try again in a moment."
            raise TableBusy(msg)
        time.sleep(_POLL)


def _bring(table: Table) -> None:
    warehouse = Warehouse.objects.filter(tenant=table.tenant_id).first()
    if warehouse is None or not warehouse.applied:
        raise IngestionError(_NO_WAREHOUSE)
    spec = spec_of(table)
    ddl.check(spec, stands=True)
    number, is_new = versions.next_number(table, spec.columns, spec.filters)
    spec = ddl.at_version(spec, number, spec.columns, spec.filters)
    statements = ddl.alter(spec, existing(spec), is_new=is_new)
    client.execute(statements, ddl.STATEMENT_SETTINGS)
    versions.note_applied(table, number, spec.columns, spec.filters)


def existing(spec: ddl.TableSpec) -> ddl.Existing | None:
    """The table as it is in ClickHouse, None if it is not there; raises WarehouseError."""
    columns_sql, table_sql = ddl.read_existing(spec)
    tables = client.rows(table_sql)
    if not tables:
        return None
    columns = client.rows(columns_sql)
    return ddl.Existing(
        columns={row["name"]: row["type"] for row in columns},
        sorting_key=tables[0]["sorting_key"],
        partition_key=tables[0]["partition_key"],
        has_ttl=bool(tables[0]["has_ttl"]),
        key_columns=frozenset(row["name"] for row in columns if row["is_in_key"]),
    )


def remove_table(spec: ddl.TableSpec, numbers: Collection[int]) -> None:
    """Drop the table with its rows, its quarantine, and the pipelines of the given versions.

    Also drops what a failed attempt may have left of the next version. Call it with the table
    ``held``. Raises WarehouseError. Safe to repeat.
    """
    for number in {1, *numbers, max(numbers, default=1) + 1}:
        client.execute(ddl.drop_pipeline(ddl.at_version(spec, number, spec.columns)))
    client.execute(ddl.drop(spec))
