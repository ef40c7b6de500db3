"""``manage.py test_connection``: show what works, what fails, and how to fix it."""

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
        "Test a connection from this machine, step by step: name, route, TLS, login, permission, "
        "topic or queue. The test changes nothing and takes no messages."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "connection",
            metavar="[TENANT.]NAME",
            help="The connection; for a shared one, NAME without a tenant.",
        )
        parser.add_argument(
            "--topic",
            "--queue",
            dest="streams",
            metavar="NAME",
            action="append",
            default=[],
            help="A topic or queue to test; may be repeated. Default: those that sources read.",
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
            raise CommandError(f"{connection} does not work.")
        if not options["json"]:
            self.stdout.write(f"{connection} works.")

    def _print(self, report: TrialReport) -> None:
        # Outside a terminal, don't truncate to rich's default of 80 columns.
        width = None if self.stdout.isatty() else 200
        console = Console(file=self.stdout, width=width, highlight=False)  # type: ignore[arg-type]
        if report.problem:
            console.print(escape(report.problem))
        for trial in report.addresses:
            _print_trial(console, trial, "")
        for trial in report.streams:
            _print_trial(console, trial, f"{report.stream_word} ")
        if report.left_out:
            limits = f"{STREAMS} at most, within {SECONDS:.0f} s"
            console.print(f"{report.left_out} more were not tested: one test covers {limits}.")
        if not report.streams and not report.problem:
            console.print(
                f"No source reads from this connection yet. Name a {report.stream_word} to test "
                f"with --{report.stream_word}."
            )


def _print_trial(console: Console, trial: ConnectionTrial, kind: str) -> None:
    note = f" [dim]({escape(trial.note)})[/]" if trial.note else ""
    console.print(f"[bold]{kind}{escape(trial.subject)}[/]{note}")
    for finding in trial.findings:
        _print_finding(console, finding, kind.strip())


def _print_finding(console: Console, finding: StepFinding, kind: str) -> None:
    name = kind if finding.step == "stream" else str(finding.step)
    said = finding.said or "not reached"
    console.print(f"  {_MARKS[finding.outcome]} {name:<11}{escape(said)}")
    if finding.mend:
        console.print(f"    {'':<11}→ {escape(finding.mend)}")


def _as_dict(report: TrialReport) -> dict[str, Any]:
    return {
        "connection": str(report.connection),
        "good": report.is_good,
        "problem": report.problem,
        "addresses": [asdict(trial) | {"good": trial.is_good} for trial in report.addresses],
        f"{report.stream_word}s": [
            asdict(trial) | {"good": trial.is_good} for trial in report.streams
        ],
        "left_out": report.left_out,
    }
