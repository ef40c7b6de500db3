"""``manage.py quarantine``: show which messages did not fit a table, and why."""

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

#: How many characters of an example are shown; ``--json`` prints quarantine.SHOWN_BYTES.
SHOWN = 120


class Command(BaseCommand):
    help = (
        "Show what is in a table's quarantine, by reason and column, with the newest message of "
        "each."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("table", metavar="TENANT.TABLE", help="The table.")
        parser.add_argument("--source", metavar="NAME", help="Show only messages of this source.")
        parser.add_argument("--json", action="store_true", help="Print one JSON array.")

    def handle(self, *args: Any, **options: Any) -> None:
        table = named_table(options["table"])
        source = _source(table, options["source"]) if options["source"] else None
        try:
            groups = quarantine.groups(table, source=source)
        except WarehouseError as error:
            raise CommandError(str(error)) from error
        if options["json"]:
            self.stdout.write(
                json.dumps([asdict(group) for group in groups], default=str, indent=2)
            )
            return
        days = f"{table.quarantine_days} days"
        if not groups:
            self.stdout.write(f"The quarantine of {table} has no messages of the last {days}.")
            return
        # Outside a terminal, don't truncate to rich's default of 80 columns.
        width = None if self.stdout.isatty() else 200
        Console(file=self.stdout, width=width).print(_lines(groups))  # type: ignore[arg-type]
        self.stdout.write(f"Messages are kept for {days}.")


def _source(table: Table, name: str) -> Source:
    source = table.sources.filter(name=name).first()
    if source is None:
        known = ", ".join(table.sources.values_list("name", flat=True)) or "none yet"
        msg = f"No source {name!r} feeds {table}. Sources that do: {known}."
        raise CommandError(msg)
    return source


def _lines(groups: list[MisfitGroup]) -> Lines:
    lines = Lines("Reason", "Column", "Expected", box=None, header_style="bold", pad_edge=False)
    lines.add_column("Messages", justify="right")
    for heading in ("First seen", "Last seen", "Example"):
        lines.add_column(heading, overflow="fold")
    for group in groups:
        lines.add_row(
            group.reason,
            group.column or "-",
            escape(group.expected),
            f"{group.messages:,}",
            f"{group.first_seen:%Y-%m-%d %H:%M:%S}",
            f"{group.last_seen:%Y-%m-%d %H:%M:%S}",
            escape(_printable(group.raw[:SHOWN])),
        )
    return lines


def _printable(text: str) -> str:
    """Replace control characters: a message could send escape sequences to the terminal."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)
