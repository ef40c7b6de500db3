"""Creates, alters and drops the databases and users of warehouses."""

from __future__ import annotations

from django.conf import settings
from django.db import transaction

from tenants.models import Tenant, Warehouse
from tenants.warehouse import client, statements
from tenants.warehouse.errors import WarehouseError
from tenants.warehouse.statements import QueryLimits


def limits(rows: int = 0, size: int = 0) -> QueryLimits:
    """The limits of a tenant's queries, from the settings and its plan.

    ``rows`` and ``size`` (bytes) are what its plan allows a query to read; 0 means no limit there.
    """
    most: int = settings.MILLRACE_QUERY_READ_ROWS
    return QueryLimits(
        seconds=settings.MILLRACE_QUERY_SECONDS,
        memory_bytes=settings.MILLRACE_QUERY_MEMORY_BYTES,
        read_rows=min(rows or most, most),
        result_rows=settings.MILLRACE_QUERY_RESULT_ROWS,
        result_bytes=settings.MILLRACE_QUERY_RESULT_BYTES,
        threads=settings.MILLRACE_QUERY_THREADS,
        read_bytes=min(filter(None, (size, settings.MILLRACE_QUERY_READ_BYTES)), default=0),
    )


def limits_of(tenant: Tenant) -> QueryLimits:
    """The limits of one tenant's queries, from the settings and its plan."""
    plan = tenant.plan
    return limits(plan.rows_a_query or 0, plan.bytes_a_query or 0) if plan else limits()


def _has_quotas() -> bool:
    return "CLICKHOUSE_URL" not in settings.EMBEDDED_SERVICES


def provision(warehouse: Warehouse) -> None:
    """Create or alter the warehouse's database and user, and store the outcome in its row.

    Safe to repeat. The row stays locked meanwhile, so that it can't restore a password that a
    rotation has just replaced.
    """
    with transaction.atomic():
        row = Warehouse.across_tenants.select_for_update().get(pk=warehouse.pk)
        _apply(row)
    warehouse.refresh_from_db()


def _apply(row: Warehouse) -> None:
    generation = row.generation
    query_limits = limits_of(Tenant.objects.select_related("plan").get(pk=row.tenant_id))
    try:
        client.execute(
            statements.create(
                row.database,
                row.username,
                row.password,
                query_limits,
                cluster=settings.CLICKHOUSE_CLUSTER,
                quota=_has_quotas(),
            )
        )
    except WarehouseError as error:
        row.failed(generation, str(error))
    else:
        Warehouse.across_tenants.filter(pk=row.pk).update(limits=query_limits.applied())
        row.succeeded(generation)


def remove(database: str, username: str) -> None:
    """Drop a tenant's database and user; raises WarehouseError."""
    client.execute(
        statements.drop(
            database, username, cluster=settings.CLICKHOUSE_CLUSTER, quota=_has_quotas()
        )
    )
