"""Bringing warehouses to what their rows ask for."""

from __future__ import annotations

from django.conf import settings

from tenants.models import Warehouse
from tenants.warehouse import client, statements
from tenants.warehouse.errors import WarehouseError
from tenants.warehouse.statements import Limits


def limits() -> Limits:
    """The limits of every tenant's queries, from the settings."""
    return Limits(
        seconds=settings.MILLRACE_QUERY_SECONDS,
        memory_bytes=settings.MILLRACE_QUERY_MEMORY_BYTES,
        read_rows=settings.MILLRACE_QUERY_READ_ROWS,
        result_rows=settings.MILLRACE_QUERY_RESULT_ROWS,
        result_bytes=settings.MILLRACE_QUERY_RESULT_BYTES,
        threads=settings.MILLRACE_QUERY_THREADS,
    )


def _has_quotas() -> bool:
    return "CLICKHOUSE_URL" not in settings.EMBEDDED_SERVICES


def provision(warehouse: Warehouse) -> None:
    """Make the warehouse's database and user; the outcome stands in the row. Safe to repeat."""
    generation = warehouse.generation
    wanted = limits()
    try:
        client.execute(
            statements.create(
                warehouse.database,
                warehouse.username,
                warehouse.password,
                wanted,
                cluster=settings.CLICKHOUSE_CLUSTER,
                quota=_has_quotas(),
            )
        )
    except WarehouseError as error:
        warehouse.failed(generation, str(error))
    else:
        Warehouse.objects.filter(pk=warehouse.pk).update(limits=wanted.settings())
        warehouse.succeeded(generation)


def remove(database: str, username: str) -> None:
    """Drop a tenant's database and user; raises WarehouseError."""
    client.execute(
        statements.drop(
            database, username, cluster=settings.CLICKHOUSE_CLUSTER, quota=_has_quotas()
        )
    )
