"""Rows a second from Kafka to the typed table, beside hand-written scripts.

Millrace: one Celery worker, leases, intents, tokens, strict typing and quarantine on. The scripts
insert into a plain MergeTree table of the same columns, at least once, with no strict typing. Each
is timed from its first message to its last row.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from typing import Any

from bench import cpu
from bench.installation import COLUMNS, Installation
from bench.messages import fill
from bench.report import Result, compared

TOPIC = "bench-events"
RIVALS = {
    "raw_bytes": "raw bytes as JSONEachRow, fetch tuned, 50,000 a batch",
    "orjson_rows": "orjson and rows, 50,000 a batch",
}


def run(installation: Installation, given: argparse.Namespace) -> list[Result]:
    fill(installation.kafka, TOPIC, given.messages)
    ours = _millrace(installation, given.messages)
    others = [_rival(installation, name, title, given.messages) for name, title in RIVALS.items()]
    return compared(ours, others)


def _millrace(installation: Installation, count: int) -> Result:
    from django.db.models import Max, Min

    from ingestion.models import Batch
    from ingestion.services import sources

    source = installation.make_source("events", TOPIC, active=False)
    installation.start_workers()
    sources.resume(source)
    meter = cpu.Meter(installation.pids("worker-ingest", "clickhouse", "kafka"))
    try:
        _await(source, count)
        spent = meter.spent(count)
    finally:
        installation.stack.halt("beat", "worker-ingest", "worker-default")
    _check(installation, "events", count)
    batches = Batch.objects.filter(partition__source=source)
    ends = batches.aggregate(start=Min("opened_at"), end=Max("done_at"))
    seconds = (ends["end"] - ends["start"]).total_seconds()
    return Result(
        "Millrace: exactly once, strict typing, quarantine", count / seconds, "rows/s", cpu=spent
    )


def _await(source: Any, count: int) -> None:
    from django.db.models import Sum

    from ingestion.models import StreamPartition

    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        partitions = StreamPartition.objects.filter(source=source)
        if (partitions.aggregate(sum=Sum("position"))["sum"] or 0) >= count:
            return
        time.sleep(0.2)
    raise RuntimeError(f"not all landed within 2 minutes: {source.error}")


def _rival(installation: Installation, name: str, title: str, count: int) -> Result:
    from tenants.warehouse import client

    columns = ", ".join(f"{column} {kind}" for column, kind, _ in COLUMNS)
    table = f"t_bench.rival_{name}"
    if name == "raw_bytes":
        # The engine parses nested objects by itself where the columns are nested.
        columns = (
            "time DateTime64(3, 'UTC'), id UInt64, user Tuple(id UInt32, country "
            "LowCardinality(String)), page String, amount Float64, items UInt8, paid Bool"
        )
    client.execute([f"CREATE TABLE {table} ({columns}) ENGINE = MergeTree ORDER BY time"])
    meter = cpu.Meter(installation.pids("clickhouse", "kafka"))
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            f"bench.rivals.{name}",
            installation.kafka,
            TOPIC,
            installation.urls["CLICKHOUSE_URL"],
            table,
            str(count),
        ],
        check=True,
        capture_output=True,
        text=True,
    )
    said = json.loads(done.stdout)
    _check(installation, f"rival_{name}", count)
    spent = {"script": said["cpu_seconds"] / count * 1e6, **meter.spent(count)}
    return Result(title, count / said["seconds"], "rows/s", cpu=spent)


def _check(installation: Installation, table: str, count: int) -> None:
    from tenants.warehouse import client

    (row,) = client.rows(f"SELECT count() AS rows FROM t_bench.{table}")
    if row["rows"] != count:
        raise RuntimeError(f"{table} has {row['rows']:,} rows of {count:,}")
