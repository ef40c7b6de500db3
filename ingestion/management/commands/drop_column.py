"""``manage.py drop_column TENANT.TABLE``: list kept columns, and drop one for good."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError, CommandParser

from ingestion.errors import IngestionError
from ingestion.management.named import named_table
from ingestion.models import Table
from ingestion.services import kept_columns, removal
from tenants.audit.command import ChangingCommand
from tenants.warehouse.errors import WarehouseError


class Command(ChangingCommand):
    help = (
        "List the columns that a table keeps in ClickHouse after they were removed from its "
        "description; drop one with --confirm."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("table", metavar="TENANT.TABLE", help="The table.")
        parser.add_argument(
            "--confirm", metavar="COLUMN", help="Drop this column, with its data on all parts."
        )

    def handle(self, *args: Any, **options: Any) -> None:
        table, column = named_table(options["table"]), options["confirm"]
        try:
            if column is None:
                self._list(table)
                return
            kept_columns.drop_column(table, column, column)
        except (IngestionError, WarehouseError) as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"Column {column} of {table} was dropped with its data.")

    def _list(self, table: Table) -> None:
        columns = kept_columns.kept_columns(table)
        if not columns:
            self.stdout.write(f"{table} keeps no removed columns.")
        for column in columns:
            verdict = column.hindrance or "can be dropped."
            self.stdout.write(f"{column.name} {column.type}: {verdict}")
            if queries := kept_columns.failing_queries(table, column.name):
                names = removal.some_of(queries)
                self.stdout.write(f"    Saved queries that will fail: {names}.")
        if any(not column.hindrance for column in columns):
            self.stdout.write("Nothing was changed. To drop one, add --confirm COLUMN.")
