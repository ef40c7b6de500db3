"""Admin pages of connections, tables, sources, and of what was read and landed."""

from ingestion.admin import backfill, batch, connection, ledger, partition, source, table

__all__ = ["backfill", "batch", "connection", "ledger", "partition", "source", "table"]
