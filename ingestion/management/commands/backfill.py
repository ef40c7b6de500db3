"""``manage.py backfill``: load files of history into a table."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)

from ingestion.backfill import read_options
from ingestion.backfill.errors import BackfillError
from ingestion.backfill.file import Format, shown
from ingestion.backfill.file_run import Settings, check, run
from ingestion.backfill.gauge import QUARANTINE_LIMIT
from ingestion.backfill.load import DEFAULT_CHUNK_ROWS
from ingestion.backfill.outcome import Loaded
from ingestion.backfill.places import LocalPlace, RemotePlace, expand
from ingestion.backfill.read_options import ReadOptions
from ingestion.errors import IngestionError
from ingestion.models import Table
from ingestion.services import backfill_runs
from ingestion.services.runs import RunRefused
from tenants.audit import record
from tenants.audit.command import ChangingCommand
from tenants.models import Tenant
from tenants.warehouse.errors import WarehouseError

_AGAIN = "Run the same command again: it continues where it stopped and loads nothing twice."


class Command(ChangingCommand):
    help = (
        "Load NDJSON, CSV or Parquet files (also .gz and .zst) into a table, with the table's own "
        "typing and quarantine. A file whose content was loaded before is not loaded again."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("table", metavar="TENANT.TABLE", help="The table to load into.")
        parser.add_argument(
            "files",
            metavar="FILE",
            nargs="+",
            help="NDJSON, CSV or Parquet files: paths, s3://, gs:// or https://. Paths and keys "
            "may be globs in quotes, such as 's3://bucket/2026/**/*.parquet'.",
        )
        parser.add_argument(
            "--format",
            type=Format,
            choices=list(Format),
            help="The format of the files, if their names don't show it.",
        )
        parser.add_argument(
            "--chunk-rows",
            type=int,
            default=DEFAULT_CHUNK_ROWS,
            help="How many rows one insert has. Default: %(default)s.",
        )
        parser.add_argument(
            "--quarantine-limit",
            metavar="PER_CENT",
            type=int,
            default=QUARANTINE_LIMIT,
            help="Stop once more than this percentage of the rows do not fit. The first 10,000 "
            "rows are tried before any is loaded. 0: load all rows, however many do not fit. "
            "Default: %(default)s.",
        )
        parser.add_argument(
            "--delimiter",
            type=_value(read_options.delimiter),
            help="The character between the fields of CSV, or tab. Default: what the header shows "
            "of comma, semicolon, tab and |.",
        )
        parser.add_argument(
            "--encoding",
            type=_value(read_options.encoding),
            help="The encoding of CSV and JSON, such as latin-1. Default: UTF-16 or UTF-32 if the "
            "file has their byte order mark, otherwise UTF-8.",
        )
        parser.add_argument(
            "--null",
            metavar="MARKER",
            type=_value(read_options.null_marker),
            help="The field of CSV that is no value, such as NA or \\N, unless it is in quotes.",
        )

        parser.add_argument(
            "--background",
            action="store_true",
            help="Hand the load over to a Celery worker, which needs to see the same files. The "
            "admin shows its progress.",
        )

    def handle(self, *_: Any, **arguments: Any) -> None:
        if arguments["chunk_rows"] < 1:
            msg = f"--chunk-rows must be at least 1, not {arguments['chunk_rows']}."
            raise CommandError(msg)
        if not 0 <= arguments["quarantine_limit"] <= 100:
            msg = (
                "--quarantine-limit is a percentage from 0 to 100, not "
                f"{arguments['quarantine_limit']}."
            )
            raise CommandError(msg)
        table = _table(arguments["table"])
        settings = Settings(
            arguments["format"],
            ReadOptions(
                delimiter=arguments["delimiter"] or "",
                encoding=arguments["encoding"] or "",
                null=arguments["null"],
            ),
            arguments["chunk_rows"],
            arguments["quarantine_limit"],
        )
        try:
            places = expand(arguments["files"])
            for place in places:
                check(place, settings)
        except BackfillError as error:
            raise CommandError(str(error)) from error
        if arguments["background"]:
            self._hand_over(table, arguments["files"], len(places), settings)
            return
        try:
            self._load_all(table, places, settings)
        except (WarehouseError, IngestionError) as error:
            msg = f"{error} {_AGAIN}"
            raise CommandError(msg) from error
        except KeyboardInterrupt as error:
            msg = f"Interrupted. {_AGAIN}"
            raise CommandError(msg, returncode=130) from error

    def _hand_over(
        self, table: Table, texts: Sequence[str], count: int, settings: Settings
    ) -> None:
        locations = [text if "://" in text else str(Path(text).absolute()) for text in texts]
        try:
            made = backfill_runs.start_unrestricted(table, locations, settings)
        except RunRefused as error:
            raise CommandError(str(error)) from error
        files = "1 file" if count == 1 else f"{count} files"
        self.stdout.write(
            f"Run {made.pk} loads {files} into {table} in the background. The admin's page "
            "Backfill runs shows its progress."
        )

    def _load_all(
        self, table: Table, places: Sequence[LocalPlace | RemotePlace], settings: Settings
    ) -> None:
        """Load all files, whatever becomes of each; raises CommandError if any went wrong."""
        loaded: dict[str, Loaded] = {}
        refused: list[str] = []
        for place in places:
            try:
                loaded[shown(place.location)] = self._load(table, place, settings)
            except BackfillError as error:
                refused.append(str(error))
                if len(places) > 1:
                    self.stderr.write(str(error))
        if len(loaded) > 1:
            total = Loaded.sum_of(loaded.values())
            self.stdout.write(f"{len(loaded)} files: {total.summary(table)}")
        if refused:
            raise CommandError(_refusals(refused, len(places)))
        if bad := [(name, one) for name, one in loaded.items() if one.is_bad]:
            names = ", ".join(f"{name.rpartition('/')[2]} ({one.share})" for name, one in bad)
            msg = f"More than half of the rows are in quarantine instead of {table}: {names}."
            raise CommandError(msg)

    def _load(self, table: Table, place: LocalPlace | RemotePlace, settings: Settings) -> Loaded:
        name = shown(place.name)
        with _progress(self.stderr) as progress:
            loaded = run(table, place, settings, _Steps(name, progress))
        if loaded.landed or loaded.quarantined:
            detail = {"file": name, "rows": loaded.landed, "quarantined": loaded.quarantined}
            record("table.backfill", table, tenant=table.tenant, detail=detail)
        self.stdout.write(f"{name}: {loaded.summary(table)}")
        return loaded


class _Steps:
    """Shows the steps of one file, each with a bar of its own."""

    def __init__(self, name: str, progress: Progress) -> None:
        self._name, self._progress = name, progress
        self._step: TaskID | None = None

    def begins(self, what: str, total: int | None) -> None:
        if self._step is not None:
            self._progress.remove_task(self._step)
        self._step = self._progress.add_task(f"{self._name}: {what}", total=total)

    def is_at(self, done: int) -> None:
        if self._step is not None:
            self._progress.update(self._step, completed=done)

    def landed(self, done: int) -> None:
        self.is_at(done)

    def remark(self, text: str) -> None:
        self._progress.console.print(text, markup=False, highlight=False, soft_wrap=True)


def _refusals(refused: Sequence[str], count: int) -> str:
    if count == 1:
        return refused[0]
    return f"{len(refused)} of {count} files were not loaded, or not to their end: see above."


def _value(check: Callable[[str], str]) -> Callable[[str], str]:
    """The check as an argument's type, so that its words reach the user."""

    def checked(text: str) -> str:
        try:
            return check(text)
        except ValueError as error:
            raise ArgumentTypeError(str(error)) from error

    return checked


def _progress(stream: Any) -> Progress:
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        DownloadColumn(),
        TimeRemainingColumn(),
        console=Console(file=stream),
        transient=True,
    )


def _table(text: str) -> Table:
    slug, _, name = text.partition(".")
    if not name:
        msg = f"{text!r} is not the name of a table. Write TENANT.TABLE."
        raise CommandError(msg)
    if not Tenant.objects.filter(slug=slug).exists():
        known = ", ".join(Tenant.objects.values_list("slug", flat=True)[:20]) or "none yet"
        msg = f"There is no tenant {slug!r}. Tenants: {known}."
        raise CommandError(msg)
    tables = Table.objects.filter(tenant__slug=slug).select_related("tenant__warehouse")
    table = tables.filter(name=name).first()
    if table is None:
        known = ", ".join(tables.values_list("name", flat=True)[:20]) or "none yet"
        msg = f"{slug} has no table {name!r}. Tables: {known}."
        raise CommandError(msg)
    if not table.applied:
        why = f": {table.error}" if table.error else ""
        msg = (
            f"{table} does not exist in ClickHouse yet ({table.get_state_display()}{why}). Try "
            "again once it is ready."
        )
        raise CommandError(msg)
    return table
