"""Celery tasks of ingestion: consuming streams, and bringing tables to what is asked of them."""

from ingestion.consume import warmup as _warming  # noqa: F401 - registers itself
from ingestion.tasks.consume import consume_slice, keep_consuming, measure_lag
from ingestion.tasks.provision import provision_table, reconcile

__all__ = ["consume_slice", "keep_consuming", "measure_lag", "provision_table", "reconcile"]
