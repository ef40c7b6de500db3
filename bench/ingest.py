"""Rows a second from Kafka to the typed table, beside hand-written scripts.

Millrace: one Celery worker, leases, intents, tokens, strict typing and quarantine on. The scripts
insert into a plain MergeTree table of the same columns, at least once, with no strict typing. Each
is timed from its first message to its last row, Millrace from its leases on. The script of raw
bytes runs once before: who comes first pays for Kafka's warming up.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from typing import Any

from bench import cpu, landing
from bench.installation import COLUMNS, Installation
from bench.messages import fill, make_topics, messages
from bench.report import Result, compared

TOPIC = "bench-events"
RIVALS = {
    "json_rows": "confluent-kafka, json, clickhouse-connect, 50,000 a batch",
    "raw_bytes": "raw bytes as JSONEachRow, fetch tuned, 50,000 a batch",
    "orjson_rows": "orjson and rows, 50,000 a batch",
}
#: Of a table that takes the messages as they are.
RAW_COLUMNS = (
    "time DateTime64(3, 'UTC'), id UInt64, user Tuple(id UInt32, country "
    "LowCardinality(String)), page String, amount Float64, items UInt8, paid Bool"
)


def run(installation: Installation, given: argparse.Namespace) -> list[Result]:
    make_topics(installation.kafka, [TOPIC])
    fill(installation.kafka, TOPIC, messages(given.messages))
    _rival(installation, "raw_bytes", "warm-up", given.messages, table="ingest_warm_up")
    ours = _millrace(installation, given.messages)
    check(installation, "events", given.messages)
    others = [_rival(installation, name, title, given.messages) for name, title in RIVALS.items()]
    return compared(ours, others)


def _millrace(installation: Installation, count: int) -> Result:
    source = installation.make_source("events", TOPIC, active=False)
    return landed(installation, source, count, "Millrace: exactly once, strict typing, quarantine")


def landed(installation: Installation, source: Any, count: int, title: str) -> Result:
    """The rate at which one worker lands ``count`` messages of a source, and what it took."""
    installation.start_workers()
    meter = cpu.Meter(installation.pids("worker-ingest", "clickhouse", "kafka"))
    try:
        seconds = landing.timed(source, count, at_lease=meter.begin)
        spent = meter.spent(count)
    finally:
        installation.stop_workers()
    return Result(title, count / seconds, "rows/s", cpu=spent)


def _rival(
    installation: Installation, name: str, title: str, count: int, table: str = ""
) -> Result:
    from tenants.warehouse import client

    columns = ", ".join(f"{column} {kind}" for column, kind, _ in COLUMNS)
    table = table or f"rival_{name}"
    if name == "raw_bytes":
        # The engine parses nested objects by itself where the columns are nested.
        columns = RAW_COLUMNS
    client.execute([f"CREATE TABLE t_bench.{table} ({columns}) ENGINE = MergeTree ORDER BY time"])
    meter = cpu.Meter(installation.pids("clickhouse", "kafka"))
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            f"bench.rivals.{name}",
            installation.kafka,
            TOPIC,
            installation.urls["CLICKHOUSE_URL"],
            f"t_bench.{table}",
            str(count),
        ],
        check=True,
        capture_output=True,
        text=True,
    )
    said = json.loads(done.stdout)
    check(installation, table, count)
    spent = {"script": said["cpu_seconds"] / count * 1e6, **meter.spent(count)}
    return Result(title, count / said["seconds"], "rows/s", cpu=spent)


def check(installation: Installation, table: str, count: int) -> None:
    from tenants.warehouse import client

    (row,) = client.rows(f"SELECT count() AS rows FROM t_bench.{table}")
    if row["rows"] != count:
        raise RuntimeError(f"{table} has {row['rows']:,} rows of {count:,}")
