"""``manage.py status``: is every source running, how far behind, how fresh, what broke.

What each figure means stands at ``SourceStatus``.
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
_HEADINGS = ("Lag", "Behind", "p50", "p95", "Events/s", "Bytes/s", "Landed", "Quarantined")


class Command(BaseCommand):
    help = (
        "Show each source: state, lag in messages, for how long they wait, how old events are when "
        "they land (p50, p95), throughput, landed, quarantined, what broke last."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("tenants", nargs="*", metavar="TENANT", help="Only these (slugs).")
        parser.add_argument("--json", action="store_true", help="Print one JSON array.")

    def handle(self, *args: Any, **options: Any) -> None:
        found = source_status(self._sources(options["tenants"]))
        if options["json"]:
            self.stdout.write(json.dumps([asdict(one) for one in found], default=str, indent=2))
        else:
            # Where nobody looks at a terminal, nothing is cut to its width.
            width = None if self.stdout.isatty() else 200
            console = Console(file=self.stdout, width=width)  # type: ignore[arg-type]
            console.print(_table(found))
            for line in _remarks(found):
                console.print(line, highlight=False, markup=False)

    def _sources(self, slugs: list[str]) -> Any:
        known = set(Tenant.objects.filter(slug__in=slugs).values_list("slug", flat=True))
        if missing := sorted(set(slugs) - known):
            msg = f"There is no tenant {', '.join(missing)}. Give slugs, or none for all tenants."
            raise CommandError(msg)
        return Source.objects.filter(tenant__slug__in=slugs) if slugs else None


def _remarks(found: list[SourceStatus]) -> list[str]:
    return [
        f"{one.tenant}.{one.source}: {one.unidentified:,} messages had no message_id; one that "
        "RabbitMQ delivers again may be doubled."
        for one in found
        if one.unidentified
    ]


def _table(found: list[SourceStatus]) -> Table:
    table = Table("Source", "Kind", "State", box=None, header_style="bold", pad_edge=False)
    for heading in _HEADINGS:
        table.add_column(heading, justify="right")
    table.add_column("What broke last", overflow="fold")
    for one in found:
        table.add_row(
            f"{one.tenant}.{one.source}",
            one.kind,
            f"[{_COLOURS[one.state]}]{one.state}[/]",
            f"{one.lag:,}",
            _age(one.lag_seconds),
            _age(one.freshness_p50),
            _age(one.freshness_p95),
            _rate(one.events_per_second),
            _rate(one.bytes_per_second),
            f"{one.landed:,}",
            f"{one.quarantined:,}",
            escape(_error(one)),
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
    """A figure a second, with a digit behind the point where it is small."""
    return f"{rate:,.1f}" if rate < 100 else f"{rate:,.0f}"


def _error(one: SourceStatus) -> str:
    if one.paused_reason:
        return one.paused_reason
    if not one.last_error or one.error_at is None:
        return one.last_error
    return f"{one.error_at:%Y-%m-%d %H:%M:%S} {one.last_error}"
