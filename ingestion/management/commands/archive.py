"""``manage.py archive source|table|connection NAME``: stop reading and keep everything."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from ingestion.management.named import KINDS, named
from ingestion.services import removal
from tenants.audit.command import ChangingCommand


class Command(ChangingCommand):
    help = "Show what archiving would do, and do it with --yes. Archived sources are not read."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("kind", choices=KINDS, help="What to archive.")
        parser.add_argument(
            "name",
            metavar="TENANT.NAME",
            help="The name; for a shared connection, NAME without a tenant.",
        )
        parser.add_argument(
            "--yes", action="store_true", help="Archive it. Without this, only show the effects."
        )

    def handle(self, *args: Any, **options: Any) -> None:
        obj = named(options["kind"], options["name"])
        outcome = removal.archive(obj) if options["yes"] else removal.archive_preview(obj)
        for line in outcome.consequences:
            self.stdout.write(line)
        if not options["yes"]:
            self.stdout.write("Nothing was changed. Repeat the command with --yes to do it.")
        elif outcome.sources:
            listed = ", ".join(map(str, outcome.sources))
            verb = "was" if len(outcome.sources) == 1 else "were"
            self.stdout.write(f"{listed} {verb} archived. Take one out with: manage.py restore")
