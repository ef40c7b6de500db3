"""``manage.py test_connection``: what works of a connection, what does not, and how to mend it."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from rich.console import Console
from rich.markup import escape

from ingestion.connectors.connection_trial import ConnectionTrial, Outcome, StepFinding
from ingestion.management.named import named_connection
from ingestion.services.trials import SECONDS, STREAMS, TrialReport, try_connection

_MARKS = {
    Outcome.GOOD: "[green]✓[/]",
    Outcome.DOUBTFUL: "[yellow]![/]",
    Outcome.FAILED: "[red]✗[/]",
    Outcome.NOT_REACHED: "[dim]·[/]",
}


class Command(BaseCommand):
    help = (
        "Try a connection from this machine, step by step: name, route, TLS, login, permission, "
        "topic or queue. Nothing is changed, and no message taken."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "connection", metavar="[TENANT.]NAME", help="NAME alone: one that all tenants share."
        )
        parser.add_argument(
            "--topic",
            "--queue",
            dest="streams",
            metavar="NAME",
            action="append",
            default=[],
            help="Look at this one; may be repeated. Default: what the connection's sources read.",
        )
        parser.add_argument("--json", action="store_true", help="Print one JSON object.")

    def handle(self, *args: Any, **options: Any) -> None:
        connection = named_connection(options["connection"])
        report = try_connection(connection, options["streams"])
        if options["json"]:
            self.stdout.write(json.dumps(_as_dict(report), indent=2))
        else:
            self._print(report)
        if not report.is_good:
            raise CommandError(f"{connection} does not work as it is.")
        if not options["json"]:
            self.stdout.write(f"{connection} works.")

    def _print(self, report: TrialReport) -> None:
        # Where nobody looks at a terminal, nothing is cut to its width.
        width = None if self.stdout.isatty() else 200
        console = Console(file=self.stdout, width=width, highlight=False)  # type: ignore[arg-type]
        if report.problem:
            console.print(escape(report.problem))
        for one in report.addresses:
            _tell(console, one, "")
        for one in report.streams:
            _tell(console, one, f"{report.stream_word} ")
        if report.left_out:
            limits = f"{STREAMS}, for {SECONDS:.0f} s"
            console.print(f"{report.left_out} more were not tried: a test looks at {limits}.")
        if not report.streams and not report.problem:
            console.print(
                f"No source reads from it yet; name a {report.stream_word} to look at by "
                f"--{report.stream_word}."
            )


def _tell(console: Console, one: ConnectionTrial, kind: str) -> None:
    note = f" [dim]({escape(one.note)})[/]" if one.note else ""
    console.print(f"[bold]{kind}{escape(one.subject)}[/]{note}")
    for finding in one.findings:
        _tell_finding(console, finding, kind.strip())


def _tell_finding(console: Console, one: StepFinding, kind: str) -> None:
    name = kind if one.step == "stream" else str(one.step)
    said = one.said or "not reached"
    console.print(f"  {_MARKS[one.outcome]} {name:<11}{escape(said)}")
    if one.mend:
        console.print(f"    {'':<11}→ {escape(one.mend)}")


def _as_dict(report: TrialReport) -> dict[str, Any]:
    return {
        "connection": str(report.connection),
        "good": report.is_good,
        "problem": report.problem,
        "addresses": [asdict(one) | {"good": one.is_good} for one in report.addresses],
        f"{report.stream_word}s": [asdict(one) | {"good": one.is_good} for one in report.streams],
        "left_out": report.left_out,
    }
