"""What a worker does once, before its first task, so that no event waits for it."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pyarrow as pa
from celery.signals import worker_init

from tenants.warehouse import client
from tenants.warehouse.errors import WarehouseError


@worker_init.connect(dispatch_uid="ingestion.consume.warmup")
def warm(**_: Any) -> None:
    """Have pyarrow look for pandas (0.8 s where that is installed), and ClickHouse greet us."""
    pa.array([0], pa.int64())
    with suppress(WarehouseError):
        client.admin()
