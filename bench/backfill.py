"""The rate from a Parquet file to the typed table, beside what it would be otherwise.

Beside rows that go through Python's objects one by one, as they did before Arrow wrote them; and
beside reading the file alone. All run in turn, several times, in one process. The fastest of each
counts.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from bench.cpu import Meter
from bench.ingest import check
from bench.installation import Installation
from bench.messages import messages
from bench.report import Result, compared

TURNS = 3


def run(installation: Installation, given: argparse.Namespace) -> list[Result]:
    rows, path = given.backfill_rows, installation.home / "history.parquet"
    _write(path, rows)
    names = (f"backfill_{number}" for number in count())
    turns = [
        (
            _loaded(installation, "backfill", next(names), path, rows),
            _row_by_row(installation, next(names), path, rows),
            _read(installation, path, rows),
        )
        for _ in range(TURNS)
    ]
    ours, *others = (
        max(results, key=lambda one: one.value) for results in zip(*turns, strict=True)
    )
    return compared(replace(ours, note=f"{rows:,} rows of Parquet"), others)


def _write(path: Path, rows: int) -> None:
    values = pa.Table.from_pylist([orjson.loads(body) for body in messages(rows)])
    pq.write_table(values, path)


def _loaded(installation: Installation, title: str, name: str, path: Path, rows: int) -> Result:
    from ingestion.backfill import content, file
    from ingestion.backfill.load import DEFAULT_CHUNK_ROWS, load

    table = installation.make_source(name, name, active=False).table
    described = file.describe(path)
    found = content.Content(path.name, str(path), file.sha256(path))
    backfill = content.open_backfill(table, described, found, DEFAULT_CHUNK_ROWS)
    result = _timed(installation, title, rows, lambda: load(backfill, described, lambda _: None))
    check(installation, name, rows)
    return result


def _row_by_row(installation: Installation, name: str, path: Path, rows: int) -> Result:
    """The same with each row written by Python."""
    from ingestion.backfill.readers import json_columns
    from ingestion.backfill.readers.values import values

    def written(names: Sequence[str], columns: Sequence[Any]) -> list[bytes]:
        lists = [values(one) if isinstance(one, pa.Array) else one for one in columns]
        return [
            orjson.dumps(dict(zip(names, row, strict=True))) for row in zip(*lists, strict=True)
        ]

    by_arrow, json_columns.messages = json_columns.messages, written
    try:
        return _loaded(installation, "row by row", name, path, rows)
    finally:
        json_columns.messages = by_arrow


def _read(installation: Installation, path: Path, rows: int) -> Result:
    """The rows as messages, without inserting them."""
    from ingestion.backfill import file
    from ingestion.backfill.readers import READERS
    from ingestion.ddl.spec import ColumnSpec

    described = file.describe(path)
    reader = READERS[described.format](described, [ColumnSpec(name="id", type="UInt64")])
    return _timed(installation, "reading alone", rows, lambda: sum(1 for _ in reader))


def _timed(installation: Installation, title: str, rows: int, work: Callable[[], Any]) -> Result:
    meter = Meter(installation.pids("clickhouse"))
    start, own = time.perf_counter(), time.process_time()
    work()
    seconds = time.perf_counter() - start
    cpu = {"backfill": (time.process_time() - own) / rows * 1e6} | meter.spent(rows)
    return Result(title, rows / seconds, "rows/s", cpu=cpu)
