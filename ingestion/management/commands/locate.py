"""``manage.py locate TENANT.SOURCE``: where a message went, and what it was."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from ingestion.ledger.locate import Location, by_id, by_offset
from ingestion.management.named import named_source
from tenants.warehouse.errors import WarehouseError


class Command(BaseCommand):
    help = (
        "Find the row, or the quarantine entry, of a message, by partition and offset or by its "
        "id; and the message itself, where the broker still has it."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("source", metavar="TENANT.SOURCE", help="Who read the message.")
        parser.add_argument(
            "--partition", type=int, default=0, help="Of the stream; default: %(default)s."
        )
        wanted = parser.add_mutually_exclusive_group(required=True)
        wanted.add_argument("--offset", type=int, help="The message's offset in the partition.")
        wanted.add_argument("--id", help="The message id that the sender gave (RabbitMQ).")

    def handle(self, *args: Any, **options: Any) -> None:
        source = named_source(options["source"])
        try:
            if options["id"] is not None:
                found = by_id(source, options["id"])
            else:
                found = by_offset(source, options["partition"], options["offset"])
        except WarehouseError as error:
            raise CommandError(str(error)) from error
        self._tell(found)
        if not found.rows:
            msg = "There is no row of it."
            raise CommandError(msg)

    def _tell(self, found: Location) -> None:
        if found.message is not None:
            self.stdout.write(f"Message: {found.message.decode(errors='backslashreplace')}")
        for one in found.rows:
            place = "Quarantine" if one.is_misfit else "Table"
            self.stdout.write(f"{place}: {json.dumps(one.values, default=str)}")
        for note in found.notes:
            self.stdout.write(note)
