"""``manage.py infer``: propose a table from a sample, as YAML for ``apply``."""

from __future__ import annotations

import re
import sys
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from django.core.management.base import BaseCommand, CommandError
from django.db.models import F, Model, Q, QuerySet

from ingestion.backfill import read_options
from ingestion.backfill.errors import BackfillError
from ingestion.backfill.file import Format, describe
from ingestion.backfill.read_options import ReadOptions
from ingestion.errors import IngestionError
from ingestion.inference.file_sample import of_file, of_stream
from ingestion.inference.proposal import propose
from ingestion.inference.sample import Sample
from ingestion.inference.stream_sample import of_quarantine, of_source, of_stream_on
from ingestion.models import Connection
from millrace.configuration.proposed import proposed
from tenants.models import Tenant
from tenants.warehouse.errors import WarehouseError

#: The tenant in the YAML of a file, which has none.
_ANYONE = "my-tenant"
_Row = TypeVar("_Row", bound=Model)


class Command(BaseCommand):
    help = (
        "Propose a table from up to 1,000 messages of a file, standard input or a live stream, as "
        "YAML for apply. All of them that are JSON objects fit it. Nothing is saved, and nothing "
        "is acknowledged to the broker."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "sample",
            metavar="FILE",
            nargs="?",
            help="An NDJSON, JSON, CSV or Parquet file (also .gz and .zst), or - for standard "
            "input, of which the first 16 MiB are read.",
        )
        parser.add_argument(
            "--source",
            metavar="TENANT.SOURCE",
            help="Instead of a file: the newest messages of this source's stream.",
        )
        parser.add_argument(
            "--connection",
            metavar="TENANT.CONNECTION",
            help="Instead of a file: the newest messages of --stream on this connection.",
        )
        parser.add_argument("--stream", help="The topic or queue on --connection.")
        parser.add_argument(
            "--quarantine",
            metavar="TENANT.TABLE",
            help="Instead of a file: the newest messages in this table's quarantine.",
        )
        parser.add_argument(
            "--tenant",
            help="The tenant's slug in the YAML. Default: that of the stream, otherwise my-tenant.",
        )
        parser.add_argument(
            "--table",
            help="The table's name in the YAML. Default: from the name of the file or stream.",
        )
        parser.add_argument(
            "--format",
            type=Format,
            choices=list(Format),
            help="The format, if the file's name or the first bytes do not show it.",
        )
        parser.add_argument(
            "--delimiter",
            type=_value(read_options.delimiter),
            help="The character between the fields of CSV, or tab. Default: what the header shows.",
        )
        parser.add_argument(
            "--encoding",
            type=_value(read_options.encoding),
            help="The encoding of CSV and JSON, such as latin-1. Default: by the byte order mark, "
            "otherwise UTF-8.",
        )
        parser.add_argument(
            "--null",
            metavar="MARKER",
            type=_value(read_options.null_marker),
            help="The field of CSV that is no value, such as NA. Load the file with it, too.",
        )

    def handle(self, *_: Any, **options: Any) -> None:
        try:
            with _sample(options) as (sample, owner, name):
                tenant, table = options["tenant"] or owner, options["table"] or name
                text = proposed(propose(sample), tenant, table)
        except (BackfillError, IngestionError, WarehouseError) as error:
            raise CommandError(str(error)) from error
        self.stdout.write(text, ending="")


@contextmanager
def _sample(options: dict[str, Any]) -> Iterator[tuple[Sample, str, str]]:
    """The sample, its tenant's slug, and a name for the table."""
    ways = [options[name] for name in ("sample", "source", "connection", "quarantine")]
    if sum(way is not None for way in ways) != 1:
        msg = "Name one sample: FILE, -, --source, --connection with --stream, or --quarantine."
        raise CommandError(msg)
    if bool(options["connection"]) != bool(options["stream"]):
        msg = "--connection and --stream go together."
        raise CommandError(msg)
    if options["sample"] is None:
        yield _live(options)
        return
    how = ReadOptions(
        delimiter=options["delimiter"] or "",
        encoding=options["encoding"] or "",
        null=options["null"],
    )
    path, form = options["sample"], options["format"]
    if path == "-":
        with of_stream(sys.stdin.buffer, form, how) as sample:
            yield sample, _ANYONE, _name_of(path)
    else:
        yield of_file(describe(Path(path), form, how)), _ANYONE, _name_of(path)


def _live(options: dict[str, Any]) -> tuple[Sample, str, str]:
    if options["source"]:
        tenant, name = _owner(options["source"], "SOURCE")
        source = _named(tenant.sources.select_related("connection", "table"), name, "source")
        return of_source(source), tenant.slug, _name_of(source.stream or source.name)
    if options["quarantine"]:
        tenant, name = _owner(options["quarantine"], "TABLE")
        table = _named(tenant.tables.all(), name, "table")
        if not table.applied:
            msg = f"{table} does not exist in ClickHouse yet, so it has no quarantine."
            raise CommandError(msg)
        return of_quarantine(table), tenant.slug, table.name
    tenant, name = _owner(options["connection"], "CONNECTION")
    usable = Connection.across_tenants.filter(Q(tenant=tenant) | Q(tenant=None))
    # A tenant's own connection hides a shared one of its name.
    connection = _named(usable.order_by(F("tenant").asc(nulls_last=True)), name, "connection")
    stream = options["stream"]
    return of_stream_on(connection, stream, tenant), tenant.slug, _name_of(stream)


def _owner(text: str, what: str) -> tuple[Tenant, str]:
    slug, _, name = text.partition(".")
    tenant = Tenant.objects.filter(slug=slug).first()
    if tenant is None or not name:
        known = ", ".join(Tenant.objects.values_list("slug", flat=True)[:20]) or "none yet"
        msg = f"{text!r} is not TENANT.{what}. Tenants: {known}."
        raise CommandError(msg)
    return tenant, name


def _named(rows: QuerySet[_Row], name: str, what: str) -> _Row:
    row = rows.filter(name=name).first()
    if row is None:
        known = ", ".join(rows.values_list("name", flat=True)[:20]) or "none yet"
        msg = f"There is no {what} {name!r}. Known: {known}."
        raise CommandError(msg)
    return row


def _name_of(path: str) -> str:
    """A table's name from that of a file or stream."""
    stem = Path(path).name.partition(".")[0]
    plain = re.sub(r"[^a-z0-9]+", "_", stem.lower()).strip("_")[:63].rstrip("_")
    return plain if plain[:1].isalpha() else "events"


def _value(check: Callable[[str], str]) -> Callable[[str], str]:
    """The check as an argument's type, so that its words reach the user."""

    def checked(text: str) -> str:
        try:
            return check(text)
        except ValueError as error:
            raise ArgumentTypeError(str(error)) from error

    return checked
