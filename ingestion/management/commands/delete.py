"""``manage.py delete source|table|connection NAME``: preview and do a deletion."""

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
    help = (
        "Show what deleting a source, table or connection would delete, and do it with --confirm."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("kind", choices=KINDS, help="What to delete.")
        parser.add_argument(
            "name",
            metavar="TENANT.NAME",
            help="The name; for a shared connection, NAME without a tenant.",
        )
        parser.add_argument(
            "--rows",
            action="store_true",
            help="Delete the rows that the sources landed, too. A table is always deleted with "
            "its rows.",
        )
        parser.add_argument(
            "--confirm",
            metavar="NAME",
            help="Delete it. Repeat the name, without the tenant, as a confirmation.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        obj, confirmation = named(options["kind"], options["name"]), options["confirm"]
        preview = removal.preview(obj)
        for line in _lines(preview, with_rows=options["rows"] or options["kind"] == "table"):
            self.stdout.write(line)
        if confirmation is None:
            again = f"Repeat the command with --confirm {obj.name} to delete it."
            self.stdout.write(f"Nothing was changed. {again}")
            return
        try:
            left = removal.delete(obj, confirmation, with_rows=options["rows"])
        except (IngestionError, WarehouseError) as error:
            raise CommandError(str(error)) from error
        for line in left:
            self.stdout.write(f"Left: {line}")
        self.stdout.write(f"{obj} was deleted.")


def _lines(preview: removal.Preview, *, with_rows: bool) -> Iterator[str]:
    for line in preview.goes:
        yield f"Goes: {line}"
    for what, count in preview.books.items():
        yield f"Goes: {what}: {count:,}"
    for landed in preview.rows:
        fate = "Goes" if with_rows else "Stays"
        unknown = "unknown, because ClickHouse does not answer"
        yield f"{fate}: {landed.what}: {unknown if landed.count is None else f'{landed.count:,}'}"
    for line in preview.stays:
        yield f"Stays: {line}"
    if preview.queries:
        names = removal.some_of(preview.queries)
        yield f"Will fail: saved queries that read the table: {names}."
