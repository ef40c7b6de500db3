"""``manage.py ledger TENANT.SOURCE``: prove that no message is missing or was inserted twice."""

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
    *("Filtered", "In ClickHouse", "At the broker", "Lag"),
)


class Command(BaseCommand):
    help = (
        "Check a source's ledger against ClickHouse and the broker, and list each gap, hole and "
        "overlap. Exits with 1 if the books don't balance."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("source", metavar="TENANT.SOURCE", help="The source to check.")
        parser.add_argument(
            "--since", default="", help="Start of the period (ISO 8601). Default: an hour ago."
        )
        parser.add_argument(
            "--until", default="", help="End of the period (ISO 8601). Default: now."
        )
        parser.add_argument(
            "--quick", action="store_true", help="Don't read the messages again from the broker."
        )

    def handle(self, *args: Any, **options: Any) -> None:
        source = named_source(options["source"])
        since = time_of(options["since"]) or timezone.now() - timedelta(hours=1)
        try:
            audits = audit(
                source, since, time_of(options["until"]), read_again=not options["quick"]
            )
        except (ConnectorError, WarehouseError) as error:
            raise CommandError(str(error)) from error
        # Outside a terminal, don't truncate to rich's default of 80 columns.
        width = None if self.stdout.isatty() else 200
        console = Console(file=self.stdout, width=width)  # type: ignore[arg-type]
        console.print(_table(audits))
        for line in _lines(audits):
            console.print(line, highlight=False)
        if not all(partition.balances for partition in audits):
            msg = f"The books of {source} do not balance."
            raise CommandError(msg)
        console.print(f"The books of {source} balance.")


def _table(audits: list[PartitionAudit]) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in _HEADINGS:
        table.add_column(heading, justify="right")
    for audited in audits:
        read = "-" if audited.at_broker is None else f"{audited.at_broker:,}"
        numbers = (
            *(audited.batches, audited.received, audited.inserted, audited.deduplicated),
            *(audited.quarantined, audited.filtered, audited.found),
        )
        table.add_row(
            str(audited.number),
            f"[{audited.start:,}, {audited.end:,})".replace("[", "\\["),
            *(f"{number:,}" for number in numbers),
            read,
            f"{max(0, audited.high_watermark - (audited.position or 0)):,}",
        )
    return table


def _lines(audits: list[PartitionAudit]) -> list[str]:
    lines = []
    for audited in audits:
        where = f"Partition {audited.number}"
        if audited.under_way:
            lines.append(f"{where}: {audited.under_way} batches are under way.")
        if audited.replayed or audited.discarded:
            lines.append(
                f"{where}: {audited.replayed:,} quarantined messages were replayed into the table, "
                f"{audited.discarded:,} were discarded."
            )
        if audited.unread:
            lines.append(f"{where}: not read again from the broker: {audited.unread}.")
        lines += [
            f"{where}: {finding.kind} {finding.start} to {finding.end - 1}: {finding.text}"
            for finding in audited.findings
        ]
    return lines
