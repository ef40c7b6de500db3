"""Celery tasks of ingestion: consuming streams, and applying table changes in ClickHouse."""

from ingestion.consume import warmup as _warming  # noqa: F401 - registers itself
from ingestion.tasks.consume import consume_slice, keep_consuming, measure_lag
from ingestion.tasks.provision import provision_table, reconcile

__all__ = ["consume_slice", "keep_consuming", "measure_lag", "provision_table", "reconcile"]
