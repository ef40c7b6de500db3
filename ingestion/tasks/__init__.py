"""Celery tasks of ingestion: consuming streams, and applying table changes in ClickHouse."""

from ingestion.consume import warmup as _warming  # noqa: F401 - registers itself
from ingestion.tasks.backfill import go_on_with_backfills, remove_uploads, run_backfill
from ingestion.tasks.consume import consume_slice, keep_consuming, measure_lag
from ingestion.tasks.provision import provision_table, reconcile
from ingestion.tasks.quarantine import go_on_with_runs, run_quarantine

__all__ = [
    "consume_slice",
    "go_on_with_backfills",
    "go_on_with_runs",
    "keep_consuming",
    "measure_lag",
    "provision_table",
    "reconcile",
    "remove_uploads",
    "run_backfill",
    "run_quarantine",
]
