"""The page of a table's kept columns: those in ClickHouse that its description no longer has."""

from __future__ import annotations

from typing import Any

from ingestion.errors import IngestionError
from ingestion.models import Table
from ingestion.services import kept_columns, removal
from tenants.warehouse.errors import WarehouseError


def context(table: Table, column: str) -> dict[str, Any]:
    """The context of ``millrace/kept_columns.html``.

    If ``column`` can be dropped, the page asks for confirmation to drop it.
    """
    try:
        columns = kept_columns.kept_columns(table)
    except WarehouseError as error:
        return {"columns": [], "trouble": str(error)}
    asked = next((kept for kept in columns if kept.name == column and not kept.hindrance), None)
    queries = kept_columns.failing_queries(table, column) if asked else []
    return {"columns": columns, "asked": asked, "queries": removal.some_of(queries)}


def done(table: Table, column: str) -> tuple[str, str]:
    """Drop the column; returns (success message, error), one of them empty."""
    try:
        kept_columns.drop_column(table, column, column)
    except (IngestionError, WarehouseError) as error:
        return "", f"The column was not dropped: {error}"
    return f"Column {column} was dropped with its data.", ""


def names(table: Table) -> str:
    """The kept columns' names, for the table's page; empty if ClickHouse does not answer."""
    try:
        return ", ".join(column.name for column in kept_columns.kept_columns(table))
    except WarehouseError:
        return ""
