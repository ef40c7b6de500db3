"""``manage.py quarantine``: show what did not fit a table, and mend it."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from django.core.management.base import CommandError, CommandParser
from rich.console import Console
from rich.markup import escape
from rich.table import Table as Lines

from ingestion import quarantine
from ingestion.errors import IngestionError
from ingestion.management.named import named_table
from ingestion.models import QuarantineRun, RunState, Source, Table
from ingestion.models.run import GOES_ON
from ingestion.quarantine import MisfitGroup, download
from ingestion.quarantine.dry_run import DryRun, dry_run
from ingestion.quarantine.misfit_selection import Selection
from ingestion.services import quarantine_runs
from tenants.audit import record
from tenants.audit.command import ChangingCommand
from tenants.warehouse.errors import WarehouseError

#: How many characters of an example are shown; ``--json`` prints quarantine.SHOWN_BYTES.
SHOWN = 120
#: Seconds between two looks at a run that a worker does.
_POLL = 1.0


class Command(ChangingCommand):
    help = (
        "Show what is in a table's quarantine, by reason and column, with the newest message of "
        "each; replay, discard or download what --reason, --column and --source select."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("table", metavar="TENANT.TABLE", help="The table.")
        parser.add_argument("--source", metavar="NAME", help="Only messages of this source.")
        parser.add_argument("--reason", default="", help="Only messages of this reason.")
        parser.add_argument("--column", help="Only messages that did not fit this column.")
        parser.add_argument("--json", action="store_true", help="Print JSON.")
        parser.add_argument(
            "--repair",
            metavar="EXPRESSION",
            default="",
            help="A ClickHouse expression over raw that gives a message's new text, for --dry-run "
            "and --replay. Default: the message as it was sent.",
        )
        act = parser.add_mutually_exclusive_group()
        act.add_argument(
            "--show", type=int, metavar="N", help="Show the newest N selected messages."
        )
        act.add_argument(
            "--dry-run", action="store_true", help="Say how many would fit now; change nothing."
        )
        act.add_argument("--replay", action="store_true", help="Move what fits now into the table.")
        act.add_argument("--discard", metavar="WHY", help="Delete the selected messages for good.")
        act.add_argument(
            "--download", action="store_true", help="Print the selected messages as NDJSON."
        )
        act.add_argument("--runs", action="store_true", help="List replays and discards.")
        act.add_argument("--cancel", type=int, metavar="RUN", help="Stop a run after its chunk.")
        act.add_argument("--resume", type=int, metavar="RUN", help="Go on with a run that ended.")

    def handle(self, *args: Any, **options: Any) -> None:
        table = named_table(options["table"])
        source = _source(table, options["source"]) if options["source"] else None
        selection = quarantine_runs.selected(table, options["reason"], options["column"], source)
        with _explained():
            if options["runs"]:
                self._list_runs(table)
            elif not self._change(table, selection, options):
                self._print(table, source, selection, options)

    def _change(self, table: Table, selection: Selection, options: dict[str, Any]) -> bool:
        """Replay, discard, cancel or resume, if one of them is asked for."""
        if options["replay"]:
            self._follow(quarantine_runs.replay(selection, options["repair"]))
        elif options["discard"] is not None:
            self._follow(quarantine_runs.discard(selection, options["discard"]))
        elif options["cancel"] is not None:
            quarantine_runs.cancel(_run(table, options["cancel"]))
            self.stdout.write(f"Run {options['cancel']} was cancelled.")
        elif options["resume"] is not None:
            run = _run(table, options["resume"])
            quarantine_runs.resume(run)
            self._follow(run)
        else:
            return False
        return True

    def _print(
        self, table: Table, source: Source | None, selection: Selection, options: dict[str, Any]
    ) -> None:
        if options["dry_run"]:
            self._print_dry_run(dry_run(selection, options["repair"]), options["json"])
        elif options["download"]:
            self._download(selection)
        elif options["show"] is not None:
            self._show(table, source, options)
        else:
            self._print_groups(table, source, as_json=options["json"])

    def _print_groups(self, table: Table, source: Source | None, *, as_json: bool) -> None:
        groups = quarantine.groups(table, source=source)
        if as_json:
            self._print_json([asdict(group) for group in groups])
            return
        days = f"{table.quarantine_days} days"
        if not groups:
            self.stdout.write(f"The quarantine of {table} has no messages of the last {days}.")
            return
        self._print_table(_lines(groups))
        self.stdout.write(f"Messages are kept for {days}.")

    def _show(self, table: Table, source: Source | None, options: dict[str, Any]) -> None:
        found = quarantine.newest(
            table,
            options["show"],
            reason=options["reason"],
            column=options["column"],
            source=source,
        )
        if options["json"]:
            self._print_json([asdict(message) for message in found])
            return
        for message in found:
            place = f"{message.ingested_at:%Y-%m-%d %H:%M:%S} {message.partition}/{message.offset}"
            why = f"{message.reason} {message.column} {message.expected}".rstrip()
            self.stdout.write(f"{place} {why}: {_printable(message.raw)}")

    def _print_dry_run(self, result: DryRun, as_json: bool) -> None:
        if as_json:
            self._print_json(asdict(result))
            return
        self.stdout.write(
            f"{result.fit:,} of {result.tried:,} messages would fit version {result.version} of "
            f"the table, {result.unfit:,} would not. Nothing was changed."
        )
        if result.filtered:
            self.stdout.write(
                f"{result.filtered:,} more would be filtered: the source's filter leaves them out."
            )
        if result.tried < result.selected:
            self.stdout.write(f"{result.selected:,} are selected; only the oldest were tried.")
        if result.example:
            self.stdout.write(f"Fits: {_printable(result.example.sent)}")
            self.stdout.write(f"  as: {_printable(result.example.repaired)}")
        for group in result.groups:
            what = f"{group.reason} {group.column} {group.expected}".rstrip()
            self.stdout.write(f"{group.messages:,} {what}: {_printable(group.example.repaired)}")

    def _follow(self, run: QuarantineRun) -> None:
        """Work on the run until it ends, and show its progress; a worker may help."""
        self.stdout.write(f"Run {run.pk}: {run.total:,} messages. Workers go on if this stops.")
        shown = -1
        while run.state in GOES_ON:
            goes_on = quarantine_runs.work(run.pk)
            run.refresh_from_db()
            if run.percent != shown:
                shown = run.percent
                self.stdout.write(f"{shown} %: {_progress(run)}")
            if not goes_on and run.state in GOES_ON:
                if run.error:
                    self.stderr.write(run.error)
                time.sleep(_POLL)
        if run.state == RunState.FAILED:
            msg = f"{run.error} To go on later: --resume {run.pk}."
            raise CommandError(msg)
        self.stdout.write(f"{run.get_state_display()}: {_progress(run)}.")

    def _download(self, selection: Selection) -> None:
        table = selection.table
        record("quarantine.download", table, tenant=table.tenant)
        for text in download.lines(selection):
            self.stdout.write(text.decode(), ending="")

    def _list_runs(self, table: Table) -> None:
        for run in table.quarantine_runs.all()[:50]:
            which = ", ".join(
                filter(None, [run.reason, run.column, run.source.name if run.source else ""])
            )
            self.stdout.write(
                f"{run.pk} {run.action} of {which or 'everything'}: {run.state}, {_progress(run)}"
                + (f". {run.error}" if run.error else "")
            )

    def _print_json(self, what: Any) -> None:
        self.stdout.write(json.dumps(what, default=str, indent=2))

    def _print_table(self, lines: Lines) -> None:
        # Outside a terminal, don't truncate to rich's default of 80 columns.
        width = None if self.stdout.isatty() else 200
        Console(file=self.stdout, width=width).print(lines)  # type: ignore[arg-type]


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except (IngestionError, WarehouseError) as error:
        raise CommandError(str(error)) from error
    except BrokenPipeError:
        sys.stderr.close()


def _run(table: Table, pk: int) -> QuarantineRun:
    run = table.quarantine_runs.filter(pk=pk).first()
    if run is None:
        raise CommandError(f"{table} has no run {pk}. --runs lists them.")
    return run


def _progress(run: QuarantineRun) -> str:
    done = "replayed" if run.action == "replay" else "discarded"
    skipped = f", {run.skipped:,} skipped because their batch was not settled yet"
    return (
        f"{run.moved:,} of {run.total:,} {done}, {run.unfit:,} still do not fit"
        f"{skipped if run.skipped else ''}"
    )


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
