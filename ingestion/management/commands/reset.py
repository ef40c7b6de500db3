"""``manage.py reset TENANT.SOURCE``: move a source's positions, after a look at what that means."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Any

from django.core.management.base import CommandError, CommandParser
from rich.console import Console
from rich.table import Table

from ingestion.errors import IngestionError
from ingestion.management.named import named_source, time_of
from ingestion.services.resets import Move, ResetTarget, Where, preview, reset
from tenants.audit import record
from tenants.audit.command import ChangingCommand
from tenants.warehouse.errors import WarehouseError


class Command(ChangingCommand):
    help = "Show what a reset would read again or skip, and do it with --yes."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("source", metavar="TENANT.SOURCE", help="What is moved.")
        where = parser.add_mutually_exclusive_group(required=True)
        where.add_argument("--start", action="store_true", help="To the oldest message there is.")
        where.add_argument("--end", action="store_true", help="To messages from now on.")
        where.add_argument("--offset", type=int, help="To this offset; needs --partition.")
        where.add_argument("--time", help="To the first message of this time or later (ISO 8601).")
        parser.add_argument("--partition", type=int, help="Only this one; default: all.")
        parser.add_argument(
            "--doubles",
            action="store_true",
            help="Insert again also what is in the table; it is there twice then.",
        )
        parser.add_argument("--yes", action="store_true", help="Do it; without it, only show.")

    def handle(self, *args: Any, **options: Any) -> None:
        source, target = named_source(options["source"]), _target(options)
        try:
            if options["yes"]:
                moves = reset(source, target, doubles=options["doubles"])
                record("source.reset", source, tenant=source.tenant, detail=asdict(target))
            else:
                moves = preview(source, target)
        except (IngestionError, WarehouseError) as error:
            raise CommandError(str(error)) from error
        width = None if self.stdout.isatty() else 200
        Console(file=self.stdout, width=width).print(_table(moves))  # type: ignore[arg-type]
        if options["yes"]:
            self.stdout.write(f"{source} goes on from there.")
        else:
            self.stdout.write("Nothing was changed. Repeat it with --yes to do it.")


def _target(options: dict[str, Any]) -> ResetTarget:
    partition: int | None = options["partition"]
    if options["start"]:
        return ResetTarget(Where.START, partition=partition)
    if options["end"]:
        return ResetTarget(Where.END, partition=partition)
    if options["offset"] is not None:
        return ResetTarget(Where.OFFSET, offset=options["offset"], partition=partition)
    at: datetime | None = time_of(options["time"])
    return ResetTarget(Where.TIME, time=at, partition=partition)


def _table(moves: list[Move]) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in ("Partition", "At the broker", "Position", "New position", "Again", "Skipped"):
        table.add_column(heading, justify="right")
    for one in moves:
        table.add_row(
            str(one.number),
            f"{one.low:,} to {one.high:,}",
            "-" if one.position is None else f"{one.position:,}",
            f"{one.to:,}",
            f"{one.read_again:,}",
            f"{one.skipped:,}",
        )
    return table
