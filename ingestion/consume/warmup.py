"""Slow first calls, made once when a worker starts, so that no event waits for them."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pyarrow as pa
from celery.signals import worker_init

from tenants.warehouse import client
from tenants.warehouse.errors import WarehouseError


@worker_init.connect(dispatch_uid="ingestion.consume.warmup")
def warm(**_: Any) -> None:
    """Make pyarrow look for pandas (0.8 s if that is installed) and connect to ClickHouse."""
    pa.array([0], pa.int64())
    with suppress(WarehouseError):
        client.admin()
