"""Writes batches to ClickHouse tables, as the only place that does, and looks up what they hold."""
