"""``manage.py ledger TENANT.SOURCE``: prove that nothing is missing and nothing is there twice."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone
from rich.console import Console
from rich.table import Table

from ingestion.errors import ConnectorError
from ingestion.ledger.audit import PartitionAudit, audit
from ingestion.management.named import named_source, time_of
from tenants.warehouse.errors import WarehouseError

_HEADINGS = (
    *("Partition", "Offsets", "Batches", "Received", "Inserted", "Deduplicated", "Quarantined"),
    *("In ClickHouse", "At the broker", "Lag"),
)


class Command(BaseCommand):
    help = (
        "Prove a source's ledger against ClickHouse and the broker, and name each gap, hole and "
        "overlap. Exits with 1 where the books don't balance."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("source", metavar="TENANT.SOURCE", help="Whose books are checked.")
        parser.add_argument("--since", default="", help="ISO 8601; default: an hour ago.")
        parser.add_argument("--until", default="", help="ISO 8601; default: now.")
        parser.add_argument(
            "--quick", action="store_true", help="Don't read the messages again from the broker."
        )

    def handle(self, *args: Any, **options: Any) -> None:
        source = named_source(options["source"])
        since = time_of(options["since"]) or timezone.now() - timedelta(hours=1)
        try:
            found = audit(source, since, time_of(options["until"]), read_again=not options["quick"])
        except (ConnectorError, WarehouseError) as error:
            raise CommandError(str(error)) from error
        # Where nobody looks at a terminal, nothing is cut to its width.
        width = None if self.stdout.isatty() else 200
        console = Console(file=self.stdout, width=width)  # type: ignore[arg-type]
        console.print(_table(found))
        for line in _lines(found):
            console.print(line, highlight=False)
        if not all(one.balances for one in found):
            msg = f"The books of {source} do not balance."
            raise CommandError(msg)
        console.print(f"The books of {source} balance.")


def _table(found: list[PartitionAudit]) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in _HEADINGS:
        table.add_column(heading, justify="right")
    for one in found:
        read = "-" if one.at_broker is None else f"{one.at_broker:,}"
        numbers = (one.batches, one.received, one.inserted, one.deduplicated, one.quarantined)
        table.add_row(
            str(one.number),
            f"[{one.start:,}, {one.end:,})".replace("[", "\\["),
            *(f"{number:,}" for number in (*numbers, one.found)),
            read,
            f"{max(0, one.high_watermark - (one.position or 0)):,}",
        )
    return table


def _lines(found: list[PartitionAudit]) -> list[str]:
    lines = []
    for one in found:
        where = f"Partition {one.number}"
        if one.under_way:
            lines.append(f"{where}: {one.under_way} batches are under way.")
        if one.unread:
            lines.append(f"{where}: not read again from the broker: {one.unread}.")
        lines += [
            f"{where}: {each.kind} {each.start} to {each.end - 1}: {each.text}"
            for each in one.findings
        ]
    return lines
