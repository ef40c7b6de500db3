"""``manage.py drop_column TENANT.TABLE``: columns that were left out, and dropping one for good."""

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
    help = "List a table's columns that are not described any more; drop one with --confirm."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("table", metavar="TENANT.TABLE", help="The table that had the column.")
        parser.add_argument(
            "--confirm", metavar="COLUMN", help="Drop this one, with its data on all parts."
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
        self.stdout.write(f"Column {column} of {table} is dropped with its data.")

    def _list(self, table: Table) -> None:
        found = kept_columns.kept_columns(table)
        if not found:
            self.stdout.write(f"{table} keeps no column that is not described.")
        for one in found:
            self.stdout.write(f"{one.name} {one.type}: {one.hindrance or 'may be dropped.'}")
            if queries := kept_columns.failing_queries(table, one.name):
                names = removal.some_of(queries)
                self.stdout.write(f"    Saved queries that fail then: {names}.")
        if any(not one.hindrance for one in found):
            self.stdout.write("Nothing was changed. Drop one with --confirm COLUMN.")
