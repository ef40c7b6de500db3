"""``manage.py backfill``: load files of history into a table."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)

from ingestion.backfill import read_options
from ingestion.backfill.errors import BackfillError
from ingestion.backfill.file import Format, HistoryFile, describe, sha256, shown
from ingestion.backfill.gauge import QUARANTINE_LIMIT
from ingestion.backfill.load import DEFAULT_CHUNK_ROWS, Loaded, load, open_backfill
from ingestion.backfill.read_options import ReadOptions
from ingestion.errors import IngestionError
from ingestion.models import Table
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
            "files", metavar="FILE", nargs="+", type=Path, help="NDJSON, CSV or Parquet files."
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
        how = ReadOptions(
            delimiter=arguments["delimiter"] or "",
            encoding=arguments["encoding"] or "",
            null=arguments["null"],
        )
        try:
            files = [describe(path, arguments["format"], how) for path in arguments["files"]]
            results = [(file, self._load(table, file, arguments)) for file in files]
        except BackfillError as error:
            raise CommandError(str(error)) from error
        except (WarehouseError, IngestionError) as error:
            msg = f"{error} {_AGAIN}"
            raise CommandError(msg) from error
        except KeyboardInterrupt as error:
            msg = f"Interrupted. {_AGAIN}"
            raise CommandError(msg, returncode=130) from error
        if bad := [(file, loaded) for file, loaded in results if loaded.is_bad]:
            names = ", ".join(f"{_name(file)} ({_share(loaded)})" for file, loaded in bad)
            msg = f"More than half of the rows are in quarantine instead of {table}: {names}."
            raise CommandError(msg)

    def _load(self, table: Table, file: HistoryFile, arguments: dict[str, Any]) -> Loaded:
        name = _name(file)
        with _progress(self.stderr) as progress:
            reading = progress.add_task(f"{name}: reading", total=file.size)
            digest = sha256(file.path, lambda count: progress.advance(reading, count))
            progress.remove_task(reading)
            loading = progress.add_task(f"{name}: loading", total=file.size)
            backfill = open_backfill(table, file, digest, arguments["chunk_rows"])
            loaded = load(
                backfill,
                file,
                lambda chunk: progress.update(loading, completed=chunk.read),
                arguments["quarantine_limit"],
            )
        if loaded.landed or loaded.quarantined:
            detail = {"file": name, "rows": loaded.landed, "quarantined": loaded.quarantined}
            record("table.backfill", table, tenant=table.tenant, detail=detail)
        self.stdout.write(f"{name}: {_summary(table, loaded)}")
        return loaded


def _value(check: Callable[[str], str]) -> Callable[[str], str]:
    """The check as an argument's type, so that its words reach the user."""

    def checked(text: str) -> str:
        try:
            return check(text)
        except ValueError as error:
            raise ArgumentTypeError(str(error)) from error

    return checked


def _name(file: HistoryFile) -> str:
    return shown(Path(file.path.name))


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


def _share(loaded: Loaded) -> str:
    if loaded.all_rows == loaded.all_quarantined:
        return f"all {loaded.all_rows:,}"
    return f"{loaded.all_quarantined:,} of {loaded.all_rows:,}"


def _summary(table: Table, loaded: Loaded) -> str:
    text = (
        f"{loaded.landed:,} rows landed in {table}, {loaded.quarantined:,} are in quarantine, "
        f"{loaded.skipped:,} were skipped because an earlier run had loaded them"
    )
    if before := loaded.all_quarantined - loaded.quarantined:
        text += f", {before:,} of them into quarantine"
    if loaded.all_quarantined:
        text += f". To see what did not fit, and why: manage.py quarantine {table}"
    else:
        text += "."
    return text


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
