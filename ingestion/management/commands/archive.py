"""``manage.py archive source|table|connection NAME``: read no more, and keep all of it."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from ingestion.management.named import KINDS, named
from ingestion.services import removal
from tenants.audit.command import ChangingCommand


class Command(ChangingCommand):
    help = "Show what archiving would do, and do it with --yes: the sources are read no more."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("kind", choices=KINDS, help="What it is.")
        parser.add_argument(
            "name", metavar="TENANT.NAME", help="Its name; a shared connection has no tenant."
        )
        parser.add_argument("--yes", action="store_true", help="Do it; without it, only show.")

    def handle(self, *args: Any, **options: Any) -> None:
        obj = named(options["kind"], options["name"])
        done = removal.archive(obj) if options["yes"] else removal.archive_preview(obj)
        for line in done.consequences:
            self.stdout.write(line)
        if not options["yes"]:
            self.stdout.write("Nothing was changed. Repeat it with --yes to do it.")
        elif done.sources:
            listed = ", ".join(map(str, done.sources))
            self.stdout.write(f"Archived: {listed}. `manage.py restore` takes one out again.")
