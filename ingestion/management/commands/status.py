"""``manage.py status``: the state, lag, freshness, throughput and last error of every source.

``SourceStatus`` defines what each figure means.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ingestion.models import Source
from ingestion.monitoring.source_status import SourceState, SourceStatus, source_status
from tenants.models import Tenant

_COLOURS = {
    SourceState.RUNNING: "green",
    SourceState.WAITING: "yellow",
    SourceState.PAUSED: "dim",
    SourceState.FAILING: "red",
}
_HEADINGS = (
    *("Lag", "Lag (time)", "p50", "p95", "Events/s", "Bytes/s"),
    *("Landed", "Quarantined", "Filtered"),
)


class Command(BaseCommand):
    help = (
        "Show for each source: state, lag in messages and in time, age of events when they land "
        "(p50, p95), throughput, rows landed, quarantined and filtered, and the last error."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "tenants", nargs="*", metavar="TENANT", help="Show only these tenants (slugs)."
        )
        parser.add_argument("--json", action="store_true", help="Print one JSON array.")

    def handle(self, *args: Any, **options: Any) -> None:
        statuses = source_status(self._sources(options["tenants"]))
        if options["json"]:
            rows = [asdict(status) for status in statuses]
            self.stdout.write(json.dumps(rows, default=str, indent=2))
        else:
            # Outside a terminal, don't truncate to rich's default of 80 columns.
            width = None if self.stdout.isatty() else 200
            console = Console(file=self.stdout, width=width)  # type: ignore[arg-type]
            console.print(_table(statuses))
            for line in _remarks(statuses):
                console.print(line, highlight=False, markup=False)

    def _sources(self, slugs: list[str]) -> Any:
        known = set(Tenant.objects.filter(slug__in=slugs).values_list("slug", flat=True))
        if missing := sorted(set(slugs) - known):
            msg = (
                f"There is no tenant {', '.join(missing)}. Give slugs of tenants, or nothing to "
                "show all tenants."
            )
            raise CommandError(msg)
        return Source.objects.filter(tenant__slug__in=slugs) if slugs else None


def _remarks(statuses: list[SourceStatus]) -> list[str]:
    return [
        f"{status.tenant}.{status.source}: {status.unidentified:,} messages had no message_id. If "
        "RabbitMQ delivers one of them again, it may be inserted twice."
        for status in statuses
        if status.unidentified
    ]


def _table(statuses: list[SourceStatus]) -> Table:
    table = Table("Source", "Kind", "State", box=None, header_style="bold", pad_edge=False)
    for heading in _HEADINGS:
        table.add_column(heading, justify="right")
    table.add_column("Last error", overflow="fold")
    for status in statuses:
        table.add_row(
            f"{status.tenant}.{status.source}",
            status.kind,
            f"[{_COLOURS[status.state]}]{status.state}[/]",
            f"{status.lag:,}",
            _age(status.lag_seconds),
            _age(status.freshness_p50),
            _age(status.freshness_p95),
            _rate(status.events_per_second),
            _rate(status.bytes_per_second),
            f"{status.landed:,}",
            f"{status.quarantined:,}",
            f"{status.filtered:,}",
            escape(_error(status)),
        )
    return table


def _age(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    if seconds < 120:
        return f"{seconds:.1f} s"
    minutes = int(seconds // 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h"


def _rate(rate: float) -> str:
    """A rate per second, with one decimal if it is below 100."""
    return f"{rate:,.1f}" if rate < 100 else f"{rate:,.0f}"


def _error(status: SourceStatus) -> str:
    if status.paused_reason:
        return status.paused_reason
    if not status.last_error or status.error_at is None:
        return status.last_error
    return f"{status.error_at:%Y-%m-%d %H:%M:%S} {status.last_error}"
