"""``manage.py reset TENANT.SOURCE``: preview and do a reset of a source's positions."""

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
        parser.add_argument("source", metavar="TENANT.SOURCE", help="The source to reset.")
        where = parser.add_mutually_exclusive_group(required=True)
        where.add_argument(
            "--start", action="store_true", help="Continue at the oldest message at the broker."
        )
        where.add_argument("--end", action="store_true", help="Continue with new messages only.")
        where.add_argument("--offset", type=int, help="Continue at this offset; needs --partition.")
        where.add_argument(
            "--time", help="Continue at the first message of this time or later (ISO 8601)."
        )
        parser.add_argument(
            "--partition", type=int, help="Reset only this partition. Default: all partitions."
        )
        parser.add_argument(
            "--doubles",
            action="store_true",
            help="Insert again what is already in the table, so that it is there twice.",
        )
        parser.add_argument(
            "--yes", action="store_true", help="Do the reset. Without this, only show its effects."
        )

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
            self.stdout.write(f"{source} was reset.")
        else:
            self.stdout.write("Nothing was changed. Repeat the command with --yes to do it.")


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
    for move in moves:
        table.add_row(
            str(move.number),
            f"{move.low:,} to {move.high:,}",
            "-" if move.position is None else f"{move.position:,}",
            f"{move.to:,}",
            f"{move.read_again:,}",
            f"{move.skipped:,}",
        )
    return table
