"""``manage.py infer``: propose a table from a sample, as YAML for ``apply``."""

from __future__ import annotations

import re
import sys
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from ingestion.backfill import read_options
from ingestion.backfill.errors import BackfillError
from ingestion.backfill.file import Format, describe
from ingestion.backfill.read_options import ReadOptions
from ingestion.errors import IngestionError
from ingestion.inference.file_sample import of_file, of_stream
from ingestion.inference.proposal import propose
from ingestion.inference.sample import Sample
from millrace.configuration.proposed import proposed
from tenants.warehouse.errors import WarehouseError


class Command(BaseCommand):
    help = (
        "Propose a table from the first 1,000 messages of a file or of standard input, as YAML for "
        "apply. All of them that are JSON objects fit it. Nothing is saved."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "sample",
            metavar="FILE",
            help="An NDJSON, JSON, CSV or Parquet file (also .gz and .zst), or - for standard "
            "input, of which the first 16 MiB are read.",
        )
        parser.add_argument(
            "--tenant",
            default="my-tenant",
            help="The tenant's slug in the YAML. Default: %(default)s.",
        )
        parser.add_argument(
            "--table",
            help="The table's name in the YAML. Default: from the file's name, otherwise events.",
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
        table = options["table"] or _name_of(options["sample"])
        try:
            with _sample(options) as sample:
                text = proposed(propose(sample), options["tenant"], table)
        except (BackfillError, IngestionError, WarehouseError) as error:
            raise CommandError(str(error)) from error
        self.stdout.write(text, ending="")


@contextmanager
def _sample(options: dict[str, Any]) -> Iterator[Sample]:
    how = ReadOptions(
        delimiter=options["delimiter"] or "",
        encoding=options["encoding"] or "",
        null=options["null"],
    )
    if options["sample"] == "-":
        with of_stream(sys.stdin.buffer, options["format"], how) as sample:
            yield sample
    else:
        yield of_file(describe(Path(options["sample"]), options["format"], how))


def _name_of(path: str) -> str:
    """A table's name from that of a file."""
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
