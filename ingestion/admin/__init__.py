"""Admin pages for connections, tables and sources, and for what they have read and landed."""

from ingestion.admin import backfill, batch, connection, ledger, partition, source, table

__all__ = ["backfill", "batch", "connection", "ledger", "partition", "source", "table"]
