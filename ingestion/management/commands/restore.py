"""``manage.py restore TENANT.SOURCE``: take a source out of the archive."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError, CommandParser

from ingestion.management.named import named_source
from ingestion.services import sources
from tenants.audit import record
from tenants.audit.command import ChangingCommand


class Command(ChangingCommand):
    help = "Take a source out of the archive. It stays paused at its position."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("source", metavar="TENANT.SOURCE", help="An archived source.")

    def handle(self, *args: Any, **options: Any) -> None:
        source = named_source(options["source"])
        if not source.is_archived:
            raise CommandError(f"{source} is not archived.")
        sources.restore(source)
        record("source.restore", source, tenant=source.tenant)
        self.stdout.write(f"{source} was restored. It is paused: resume it to continue reading.")
