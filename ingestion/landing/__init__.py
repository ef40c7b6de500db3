"""The only place that writes to ClickHouse tables, and what is asked of them about batches."""
