"""Admin pages for connections, tables and sources, and for what they have read and landed."""

from ingestion.admin import (
    backfill,
    backfill_run,
    batch,
    connection,
    ledger,
    partition,
    source,
    table,
)

__all__ = [
    "backfill",
    "backfill_run",
    "batch",
    "connection",
    "ledger",
    "partition",
    "source",
    "table",
]
