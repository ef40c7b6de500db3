"""Tables with many columns: rows a second by the number of columns, and the cost of one event.

Much of a small batch's time is the analysis of the typing SELECT, which should grow with the number
of columns. Measured are a batch of ``ROWS`` through the inbox and its views; one event both through
the views and with the query that types small batches; and one event that does not fit.
"""

from __future__ import annotations

import argparse
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa

from bench import cpu
from bench.installation import Installation
from bench.report import Result

WIDTHS = (10, 20, 50, 200, 500)
ROWS, TIMES = 2_000, 3
#: The columns' types, each with a JSON value; ``%d`` is the number of the message.
KINDS = (
    ("UInt32", "%d"),
    ("String", '"text %d"'),
    ("Float64", "%d.5"),
    ("Decimal(18, 4)", "%d.25"),
    ("DateTime64(3)", '"2026-01-01T00:00:00.%03dZ"'),
    ("Nullable(Int64)", "%d"),
    ("Bool", "true"),
    ("LowCardinality(String)", '"c%d"'),
    ("Date", '"2026-01-02"'),
    ("UInt64", "%d"),
)


def run(installation: Installation, given: argparse.Namespace) -> list[Result]:
    return [result for columns in WIDTHS for result in _of(installation, columns)]


def _of(installation: Installation, columns: int) -> Iterator[Result]:
    from ingestion.landing import direct_insert, inbox

    to = _table(columns)
    few, many = [_message(columns, 1)], [_message(columns, number) for number in range(ROWS)]
    broken = [few[0].replace(b'"c0":1,', b'"c0":"x",')]
    title = f"{columns} columns"

    def views(bodies: list[bytes]) -> Callable[[], object]:
        return lambda: inbox.insert(to, _batch(bodies))

    def query() -> object:
        batch = _batch(few)
        (rows,) = direct_insert.type_all(inbox.table_of(batch), to.columns).values()
        return direct_insert.land(to.place, rows, batch.intent.token)

    yield _measured(installation, f"{title}: {ROWS} rows, views", views(many), ROWS)
    yield _measured(installation, f"{title}: one event, views", views(few))
    yield _measured(installation, f"{title}: one event, query", query)
    yield _measured(installation, f"{title}: one event that does not fit", views(broken))


def _measured(
    installation: Installation, name: str, step: Callable[[], object], rows: int = 0
) -> Result:
    step()
    meter = cpu.Meter(installation.pids("clickhouse"))
    began = time.perf_counter()
    for _ in range(TIMES):
        step()
    seconds = (time.perf_counter() - began) / TIMES
    if rows:
        return Result(name, rows / seconds, "rows/s", cpu=meter.spent(TIMES * rows))
    return Result(name, seconds * 1000, "ms", cpu=meter.spent(TIMES))


def _table(columns: int) -> Any:
    """Create a table with so many columns in a separate database; returns its addresses."""
    from ingestion import ddl
    from ingestion.ddl import names
    from ingestion.landing.addresses import Address
    from tenants.warehouse import client

    specs = tuple(
        ddl.ColumnSpec(f"c{place}", kind, required=not kind.startswith("Nullable"))
        for place, kind in enumerate(_cycled(columns, 0))
    )
    spec = ddl.TableSpec("bench_wide", f"t{columns}", specs)
    client.execute(["CREATE DATABASE IF NOT EXISTS bench_wide"])
    client.execute(ddl.create(spec), ddl.STATEMENT_SETTINGS)
    place = f"bench_wide.t{columns}"
    return Address(
        inbox=f"bench_wide.{names.inbox(spec.name, spec.version)}",
        table=place,
        quarantine=f"bench_wide.{names.quarantine(spec.name)}",
        leftovers=f"bench_wide.{names.leftovers(spec.name)}",
        columns=specs,
    )


def _cycled(columns: int, part: int) -> Iterator[str]:
    return (KINDS[place % len(KINDS)][part] for place in range(columns))


def _message(columns: int, number: int) -> bytes:
    values = (text % number if "%" in text else text for text in _cycled(columns, 1))
    members = (f'"c{place}":{value}' for place, value in enumerate(values))
    return ("{" + ",".join(members) + "}").encode()


def _batch(bodies: list[bytes]) -> Any:
    from ingestion.batches.batch import Intent, Origin, PendingBatch
    from ingestion.connectors.chunk import chunk

    count = len(bodies)
    read = chunk(0, range(count), [0] * count, bodies)
    intent = Intent(Origin(1, 0), uuid.uuid4(), 0, count, count, read.bytes, 0)
    return PendingBatch(intent, pa.Table.from_batches([read.rows]))
