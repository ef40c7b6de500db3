"""Rows a second from Kafka to the typed table, compared with hand-written scripts.

Millrace runs one Celery worker with leases, intents, tokens, strict typing and quarantine. The
scripts insert into a plain MergeTree table with the same columns, at least once and without strict
typing. A script is timed from its first message to its last row; Millrace is timed from its leases.
The script that sends raw bytes runs once before: the first run pays for Kafka's warm-up.
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
#: The columns of a table for the messages as they are sent.
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
    """The rate at which one worker lands ``count`` messages of a source, and its CPU."""
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
        # With nested columns, ClickHouse parses the nested objects itself.
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
    outcome = json.loads(done.stdout)
    check(installation, table, count)
    spent = {"script": outcome["cpu_seconds"] / count * 1e6, **meter.spent(count)}
    return Result(title, count / outcome["seconds"], "rows/s", cpu=spent)


def check(installation: Installation, table: str, count: int) -> None:
    """Raise RuntimeError unless ``table`` has exactly ``count`` rows."""
    from tenants.warehouse import client

    (row,) = client.rows(f"SELECT count() AS rows FROM t_bench.{table}")
    if row["rows"] != count:
        raise RuntimeError(f"{table} has {row['rows']:,} rows of {count:,}")
