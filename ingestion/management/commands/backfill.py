"""``manage.py backfill``: load files of history into a table."""

from __future__ import annotations

from argparse import ArgumentParser
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

from ingestion.backfill.errors import BackfillError
from ingestion.backfill.file import Format, HistoryFile, describe, sha256
from ingestion.backfill.load import DEFAULT_CHUNK_ROWS, Loaded, load, open_backfill
from ingestion.errors import IngestionError
from ingestion.models import Table
from tenants.audit import record
from tenants.audit.command import ChangingCommand
from tenants.models import Tenant
from tenants.warehouse.errors import WarehouseError

_AGAIN = "Run the same command again: it goes on from where it stopped, and loads nothing twice."


class Command(ChangingCommand):
    help = (
        "Load NDJSON, CSV or Parquet files (also .gz and .zst) into a table, by its own typing and "
        "quarantine. A file whose content is loaded already is not loaded again."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("table", metavar="TENANT.TABLE")
        parser.add_argument("files", metavar="FILE", nargs="+", type=Path)
        parser.add_argument(
            "--format",
            type=Format,
            choices=list(Format),
            help="what the files are, where their names don't say it",
        )
        parser.add_argument(
            "--chunk-rows",
            type=int,
            default=DEFAULT_CHUNK_ROWS,
            help="rows of one insert (%(default)s)",
        )

    def handle(self, *_: Any, **options: Any) -> None:
        if options["chunk_rows"] < 1:
            msg = f"--chunk-rows must be at least 1, not {options['chunk_rows']}."
            raise CommandError(msg)
        table = _table(options["table"])
        try:
            files = [describe(path, options["format"]) for path in options["files"]]
            for file in files:
                self._load(table, file, options["chunk_rows"])
        except BackfillError as error:
            raise CommandError(str(error)) from error
        except (WarehouseError, IngestionError) as error:
            msg = f"{error} {_AGAIN}"
            raise CommandError(msg) from error
        except KeyboardInterrupt as error:
            msg = f"Interrupted. {_AGAIN}"
            raise CommandError(msg, returncode=130) from error

    def _load(self, table: Table, file: HistoryFile, chunk_rows: int) -> None:
        name = _shown(file.path)
        with _progress(self.stderr) as progress:
            reading = progress.add_task(f"{name}: reading", total=file.size)
            digest = sha256(file.path, lambda count: progress.advance(reading, count))
            progress.remove_task(reading)
            loading = progress.add_task(f"{name}: loading", total=file.size)
            backfill = open_backfill(table, file, digest, chunk_rows)
            loaded = load(
                backfill, file, lambda chunk: progress.update(loading, completed=chunk.read)
            )
        if loaded.rows > loaded.before:
            detail = {"file": file.path.name, "rows": loaded.rows - loaded.before}
            record("table.backfill", table, tenant=table.tenant, detail=detail)
        self.stdout.write(f"{name}: {_told(table, loaded)}")


def _shown(path: Path) -> str:
    """A file's name without what would command a terminal, or forge a line of ours."""
    return "".join(one if one.isprintable() else "\N{REPLACEMENT CHARACTER}" for one in path.name)


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


def _told(table: Table, loaded: Loaded) -> str:
    new = loaded.rows - loaded.before
    if not new:
        return f"nothing to load: its {loaded.rows:,} rows are in {table} already."
    text = f"{new:,} rows loaded into {table}"
    if loaded.before:
        text += f", after {loaded.before:,} that were there already"
    if loaded.quarantined:
        text += (
            f"; of all, {loaded.quarantined:,} did not fit and are in {table}__quarantine, each "
            "with its reason"
        )
    return f"{text}."


def _table(text: str) -> Table:
    slug, _, name = text.partition(".")
    if not name:
        msg = f"{text!r} names no table. Write it as TENANT.TABLE."
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
        msg = f"{table} does not stand in ClickHouse yet ({table.get_state_display()}{why})."
        raise CommandError(msg)
    return table
