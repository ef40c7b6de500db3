"""Seconds from an event to its being queryable, at 10,000 events a second.

A producer sends at an even rate, and a reader repeatedly asks the table for the newest event of
each partition. Events of the first half minute are not measured. The comparison is a hand-written
script that inserts raw bytes every 0.5 s.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import threading
import time
from statistics import quantiles

from confluent_kafka import Producer

from bench.installation import Installation
from bench.messages import PARTITIONS, make_topics, messages
from bench.report import Result

RATE = 10_000
SECONDS = 20
#: Seconds of the same load before the measured ones: Kafka's code is compiled as it runs, which
#: takes half a core at first. The side that is measured second would not pay for it.
LEAD = 30
TOTAL = RATE * (LEAD + SECONDS)
_RAW = "time DateTime64(3, 'UTC'), id UInt64, user String, page String, amount Float64, items UInt8"


def run(installation: Installation, given: argparse.Namespace) -> list[Result]:
    ours = _millrace(installation)
    theirs = _script(installation)
    return [
        Result("Millrace, p50", ours[0], "s"),
        Result("Millrace, p99", ours[1], "s"),
        Result("raw bytes, cut every 0.5 s, p50", theirs[0], "s", ours[0] / theirs[0]),
        Result("raw bytes, cut every 0.5 s, p99", theirs[1], "s", ours[1] / theirs[1]),
    ]


def _millrace(installation: Installation) -> tuple[float, float]:
    make_topics(installation.kafka, ["fresh"])
    installation.make_source("fresh", "fresh")
    installation.start_workers()
    try:
        _await_lease()
        return _measure(installation, "fresh", "t_bench.fresh")
    finally:
        installation.stop_workers()


def _await_lease() -> None:
    """Wait until a worker holds every partition: its start is not measured."""
    from ingestion.models import StreamPartition

    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        partitions = StreamPartition.across_tenants.filter(source__name="fresh").exclude(
            lease_owner=""
        )
        if partitions.count() == PARTITIONS:
            return
        time.sleep(0.1)
    raise RuntimeError("no worker took the lease within a minute")


def _script(installation: Installation) -> tuple[float, float]:
    from tenants.warehouse import client

    make_topics(installation.kafka, ["fresh-raw"])
    client.execute([f"CREATE TABLE t_bench.fresh_raw ({_RAW}) ENGINE = MergeTree ORDER BY id"])
    command = [
        sys.executable,
        "-m",
        "bench.rivals.raw_bytes",
        installation.kafka,
        "fresh-raw",
        installation.urls["CLICKHOUSE_URL"],
        "t_bench.fresh_raw",
        str(TOTAL),
        "0.5",
    ]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as script:
        time.sleep(2)
        percentiles = _measure(installation, "fresh-raw", "t_bench.fresh_raw")
        script.wait(30)
    return percentiles


def _measure(installation: Installation, topic: str, table: str) -> tuple[float, float]:
    """p50 and p99, in seconds, of the measured events."""
    sent: list[float] = []
    sender = threading.Thread(target=_send, args=(installation.kafka, topic, sent))
    sender.start()
    delays = _watch(table, sent)
    sender.join()
    cuts = quantiles(delays, n=100)
    return cuts[49], cuts[98]


def _send(servers: str, topic: str, sent: list[float]) -> None:
    producer = Producer({"bootstrap.servers": servers, "linger.ms": 5})
    began = time.perf_counter()
    for number, message in enumerate(messages(TOTAL)):
        if number % 100 == 0:
            time.sleep(max(0.0, began + number / RATE - time.perf_counter()))
            producer.poll(0)
        sent.append(time.perf_counter())
        producer.produce(topic, message, partition=number % PARTITIONS)
    producer.flush()


def _watch(table: str, sent: list[float]) -> list[float]:
    """Seconds that each measured event took, accurate to the time of one look: some 10 ms."""
    from tenants.warehouse import client

    first = 1_000_000_000
    #: Ids of a partition arrive in order, so the newest shows that all before it have arrived.
    seen = [0] * PARTITIONS
    came = 0
    delays: list[float] = []
    deadline = time.perf_counter() + LEAD + SECONDS + 60
    while came < TOTAL and time.perf_counter() < deadline:
        rows = client.rows(f"SELECT id % 4 AS part, max(id) AS newest FROM {table} GROUP BY part")
        now = time.perf_counter()
        for row in rows:
            part, newest = int(row["part"]), int(row["newest"]) - first
            while (number := seen[part] * PARTITIONS + part) <= newest:
                if number >= RATE * LEAD:
                    delays.append(now - sent[number])
                seen[part] += 1
                came += 1
        time.sleep(0.01)
    if came < TOTAL:
        raise RuntimeError(f"only {came:,} of {TOTAL:,} events came")
    return delays
