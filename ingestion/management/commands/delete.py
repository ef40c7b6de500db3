"""``manage.py delete source|table|connection NAME``: after a look at what goes and what stays."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.core.management.base import CommandError, CommandParser

from ingestion.errors import IngestionError
from ingestion.management.named import KINDS, named
from ingestion.services import removal
from tenants.audit.command import ChangingCommand
from tenants.warehouse.errors import WarehouseError


class Command(ChangingCommand):
    help = "Show what deleting a source, table or connection takes, and do it with --confirm."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("kind", choices=KINDS, help="What it is.")
        parser.add_argument(
            "name", metavar="TENANT.NAME", help="Its name; a shared connection has no tenant."
        )
        parser.add_argument(
            "--rows",
            action="store_true",
            help="The rows that its sources landed go too; a table's go in any case.",
        )
        parser.add_argument(
            "--confirm", metavar="NAME", help="Do it: its name again, without the tenant."
        )

    def handle(self, *args: Any, **options: Any) -> None:
        obj, confirmation = named(options["kind"], options["name"]), options["confirm"]
        found = removal.preview(obj)
        for line in _lines(found, with_rows=options["rows"] or options["kind"] == "table"):
            self.stdout.write(line)
        if confirmation is None:
            again = f"Repeat it with --confirm {obj.name} to delete it."
            self.stdout.write(f"Nothing was changed. {again}")
            return
        try:
            left = removal.delete(obj, confirmation, with_rows=options["rows"])
        except (IngestionError, WarehouseError) as error:
            raise CommandError(str(error)) from error
        for line in left:
            self.stdout.write(f"Left: {line}")
        self.stdout.write(f"{obj} is deleted.")


def _lines(found: removal.Preview, *, with_rows: bool) -> Iterator[str]:
    for line in found.goes:
        yield f"Goes: {line}"
    for what, count in found.books.items():
        yield f"Goes: {what}: {count:,}"
    for one in found.rows:
        fate = "Goes" if with_rows else "Stays"
        known = "not known, as ClickHouse does not answer" if one.count is None else None
        yield f"{fate}: {one.what}: {known or f'{one.count:,}'}"
    for line in found.stays:
        yield f"Stays: {line}"
    if found.queries:
        names = removal.some_of(found.queries)
        yield f"Fails then: saved queries that read the table: {names}."
