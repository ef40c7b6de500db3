"""``manage.py quarantine``: what of a table's messages did not fit, and why."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from rich.console import Console
from rich.markup import escape
from rich.table import Table as Lines

from ingestion import quarantine
from ingestion.management.named import named_table
from ingestion.models import Source, Table
from ingestion.quarantine import MisfitGroup
from tenants.warehouse.errors import WarehouseError

#: Characters of an example that are shown; ``--json`` gives quarantine.SHOWN_BYTES.
SHOWN = 120


class Command(BaseCommand):
    help = "Show what is in a table's quarantine, by reason and column, with the newest of each."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("table", metavar="TENANT.TABLE", help="Whose misfits are shown.")
        parser.add_argument("--source", metavar="NAME", help="Only what came from this source.")
        parser.add_argument("--json", action="store_true", help="Print one JSON array.")

    def handle(self, *args: Any, **options: Any) -> None:
        table = named_table(options["table"])
        source = _source(table, options["source"]) if options["source"] else None
        try:
            found = quarantine.groups(table, source=source)
        except WarehouseError as error:
            raise CommandError(str(error)) from error
        if options["json"]:
            self.stdout.write(json.dumps([asdict(one) for one in found], default=str, indent=2))
            return
        days = f"{table.quarantine_days} days"
        if not found:
            self.stdout.write(f"Nothing of the last {days} is in the quarantine of {table}.")
            return
        # Where nobody looks at a terminal, nothing is cut to its width.
        width = None if self.stdout.isatty() else 200
        Console(file=self.stdout, width=width).print(_lines(found))  # type: ignore[arg-type]
        self.stdout.write(f"Messages are kept for {days}.")


def _source(table: Table, name: str) -> Source:
    found = table.sources.filter(name=name).first()
    if found is None:
        known = ", ".join(table.sources.values_list("name", flat=True)) or "none yet"
        msg = f"No source {name!r} feeds {table}. These do: {known}."
        raise CommandError(msg)
    return found


def _lines(found: list[MisfitGroup]) -> Lines:
    lines = Lines("Reason", "Column", "Expected", box=None, header_style="bold", pad_edge=False)
    lines.add_column("Messages", justify="right")
    for heading in ("First seen", "Last seen", "Example"):
        lines.add_column(heading, overflow="fold")
    for one in found:
        lines.add_row(
            one.reason,
            one.column or "-",
            escape(one.expected),
            f"{one.messages:,}",
            f"{one.first_seen:%Y-%m-%d %H:%M:%S}",
            f"{one.last_seen:%Y-%m-%d %H:%M:%S}",
            escape(_printable(one.raw[:SHOWN])),
        )
    return lines


def _printable(text: str) -> str:
    """Without what a terminal would obey."""
    return "".join(one if one.isprintable() else "\N{REPLACEMENT CHARACTER}" for one in text)
