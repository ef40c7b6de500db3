"""``manage.py locate TENANT.SOURCE``: find where a message went, and the message itself."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from ingestion.ledger.locate import Location, by_id, by_offset
from ingestion.management.named import named_source
from tenants.warehouse.errors import WarehouseError


class Command(BaseCommand):
    help = (
        "Find the row or the quarantine entry of a message, by partition and offset or by its id, "
        "and the message itself if the broker still has it."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "source", metavar="TENANT.SOURCE", help="The source that read the message."
        )
        parser.add_argument(
            "--partition",
            type=int,
            default=0,
            help="The message's partition. Default: %(default)s.",
        )
        message = parser.add_mutually_exclusive_group(required=True)
        message.add_argument("--offset", type=int, help="The message's offset in the partition.")
        message.add_argument("--id", help="The message_id that the sender set (RabbitMQ).")

    def handle(self, *args: Any, **options: Any) -> None:
        source = named_source(options["source"])
        try:
            if options["id"] is not None:
                location = by_id(source, options["id"])
            else:
                location = by_offset(source, options["partition"], options["offset"])
        except WarehouseError as error:
            raise CommandError(str(error)) from error
        self._print(location)
        if not location.rows:
            msg = "No row of this message was found."
            raise CommandError(msg)

    def _print(self, location: Location) -> None:
        if location.message is not None:
            self.stdout.write(f"Message: {location.message.decode(errors='backslashreplace')}")
        for row in location.rows:
            place = "Quarantine" if row.is_misfit else "Table"
            if row.is_filtered:
                place = "Filtered"
            self.stdout.write(f"{place}: {json.dumps(row.values, default=str)}")
        for note in location.notes:
            self.stdout.write(note)
