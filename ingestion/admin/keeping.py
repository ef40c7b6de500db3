"""The page of a table's columns that are kept in ClickHouse without being described."""

from __future__ import annotations

from typing import Any

from ingestion.errors import IngestionError
from ingestion.models import Table
from ingestion.services import kept_columns, removal
from tenants.warehouse.errors import WarehouseError


def context(table: Table, column: str) -> dict[str, Any]:
    """For ``millrace/kept_columns.html``; with a ``column`` that may go, the question for it."""
    try:
        columns = kept_columns.kept_columns(table)
    except WarehouseError as error:
        return {"columns": [], "trouble": str(error)}
    asked = next((one for one in columns if one.name == column and not one.hindrance), None)
    queries = kept_columns.failing_queries(table, column) if asked else []
    return {"columns": columns, "asked": asked, "queries": removal.some_of(queries)}


def done(table: Table, column: str) -> tuple[str, str]:
    """Drop it; what to tell, or why it stays."""
    try:
        kept_columns.drop_column(table, column, column)
    except (IngestionError, WarehouseError) as error:
        return "", f"It was not dropped: {error}"
    return f"Column {column} is dropped with its data.", ""


def names(table: Table) -> str:
    """Those of the table, for its page; empty where there are none, or nobody can say."""
    try:
        return ", ".join(one.name for one in kept_columns.kept_columns(table))
    except WarehouseError:
        return ""
