"""Measures the size of warehouses on ClickHouse's disks."""

from __future__ import annotations

import logging

from django.conf import settings
from django.db import connection

from tenants.warehouse import client
from tenants.warehouse.errors import WarehouseError
from tenants.warehouse.statements import own_identifier

log = logging.getLogger(__name__)

# Only one replica of each shard is queried, so that replicated data counts once.
_SIZES = """
SELECT database, sum(bytes_on_disk) AS size FROM {parts}
WHERE active AND startsWith(database, 't_') GROUP BY database
"""
_NOTE = """
WITH measured AS (
    SELECT w.id, w.tenant_id, coalesce(m.size, 0) AS size
    FROM tenants_warehouse w
    LEFT JOIN unnest(%(databases)s::text[], %(sizes)s::bigint[]) AS m(database, size)
        ON m.database = w.database
), noted AS (
    UPDATE tenants_warehouse w SET storage_bytes = m.size
    FROM measured m WHERE w.id = m.id AND w.storage_bytes <> m.size
)
INSERT INTO tenants_usage AS u (tenant_id, day, storage_bytes)
SELECT tenant_id, (statement_timestamp() AT TIME ZONE 'UTC')::date, size
FROM measured WHERE size > 0 ORDER BY tenant_id
ON CONFLICT (tenant_id, day, key_id) DO UPDATE
SET storage_bytes = excluded.storage_bytes WHERE u.storage_bytes < excluded.storage_bytes
"""


def measure() -> None:
    """Store the size of every warehouse. If ClickHouse does not answer, the old sizes stay."""
    cluster = settings.CLICKHOUSE_CLUSTER
    parts = f"cluster({own_identifier(cluster)}, system.parts)" if cluster else "system.parts"
    try:
        rows = client.rows(_SIZES.format(parts=parts))
    except WarehouseError as error:
        log.warning("Storage could not be measured: %s", error)
        return
    with connection.cursor() as cursor:
        cursor.execute(
            _NOTE,
            {
                "databases": [row["database"] for row in rows],
                "sizes": [row["size"] for row in rows],
            },
        )
