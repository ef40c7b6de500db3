"""What a small insert costs ClickHouse: through the inbox and its views, and into a plain table.

Much of the cost does not depend on the rows: ClickHouse analyses the views again for each insert.
So it limits how many tenants' batches a machine can insert in a second.
"""

from __future__ import annotations

import argparse
import time
import uuid
from collections.abc import Callable

import pyarrow as pa

from bench import cpu
from bench.ingest import RAW_COLUMNS
from bench.installation import Installation
from bench.messages import messages
from bench.report import Result, compared

ROWS, TIMES = 10, 40


def run(installation: Installation, given: argparse.Namespace) -> list[Result]:
    inbox, plain = _through_inbox(installation), _plain(installation)
    ours = _measured(installation, f"{ROWS} rows, typed and with quarantine", inbox)
    raw = _measured(installation, f"{ROWS} rows as JSONEachRow into a plain table", plain)
    nothing = _measured(installation, "nothing: SELECT 1", _nothing)
    return compared(ours, [raw, nothing])


def _measured(installation: Installation, name: str, step: Callable[[], object]) -> Result:
    for _ in range(3):
        step()
    meter = cpu.Meter(installation.pids("clickhouse"))
    began = time.perf_counter()
    for _ in range(TIMES):
        step()
    milliseconds = (time.perf_counter() - began) / TIMES * 1000
    return Result(name, milliseconds, "ms", cpu=meter.spent(TIMES))


def _through_inbox(installation: Installation) -> Callable[[], object]:
    from ingestion.batches.batch import Intent, Origin, PendingBatch
    from ingestion.connectors.chunk import chunk
    from ingestion.landing import addresses, inbox

    source = installation.make_source("small", "none", active=False)
    to = addresses.address_of(source.table)
    origin = Origin(source.pk, 0)
    bodies = list(messages(ROWS))

    def step() -> None:
        read = chunk(0, range(ROWS), [0] * ROWS, bodies)
        rows = pa.Table.from_batches([read.rows])
        intent = Intent(origin, uuid.uuid4(), 0, ROWS, ROWS, read.bytes, 0)
        inbox.insert(to, PendingBatch(intent, rows))

    return step


def _plain(installation: Installation) -> Callable[[], object]:
    from tenants.warehouse import client

    client.execute([f"CREATE TABLE t_bench.plain ({RAW_COLUMNS}) ENGINE = MergeTree ORDER BY time"])
    body = b"\n".join(messages(ROWS))
    return lambda: client.admin().raw_insert("t_bench.plain", insert_block=body, fmt="JSONEachRow")


def _nothing() -> object:
    from tenants.warehouse import client

    return client.rows("SELECT 1")
