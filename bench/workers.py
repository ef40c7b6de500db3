"""How throughput grows with the number of worker processes, without ClickHouse's work.

The workers are those of ``bench.counting``, which send no inserts. What remains is the work of the
workers, Kafka and Postgres, on the same cores. The time starts when each worker has its share of
the partitions; the note says how long that took.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench import cpu, landing
from bench.installation import Installation
from bench.messages import fill, make_topics, messages
from bench.report import Result

TOPIC, PARTITIONS = "bench-workers", 64
COUNTS = (1, 2, 4)
#: The most seconds to wait, and the part of the messages that is measured: at the end some workers
#: have no messages left.
PATIENCE, MEASURED = 180.0, 0.9


def run(installation: Installation, given: argparse.Namespace) -> list[Result]:
    count = given.worker_messages
    make_topics(installation.kafka, [TOPIC], PARTITIONS)
    fill(installation.kafka, TOPIC, messages(count), PARTITIONS)
    installation.start_workers("worker-default")
    try:
        rates = [_rate(installation, number, count) for number in COUNTS]
    finally:
        installation.stop_workers()
    first = rates[0].value
    return [
        replace(rate, ratio=rate.value / first, note=f"{rate.note}; ratio: to one worker")
        for rate in rates
    ]


def _rate(installation: Installation, number: int, count: int) -> Result:
    from ingestion.services import sources

    source = installation.make_source(f"counted{number}", TOPIC, active=False)
    with _workers(installation.home, number) as pids:
        workers = {f"worker {which}": pid for which, pid in enumerate(pids, start=1)}
        sources.resume(source)
        shared = _await(lambda: _is_shared(source, number), source)
        meter = cpu.Meter(workers | installation.pids("kafka", "postgres"))
        began = landing.landed(source)
        if began > count * MEASURED / 2:
            raise RuntimeError(f"{began:,} had landed when all had a share: --worker-messages?")
        seconds = _await(lambda: landing.landed(source) >= count * MEASURED, source)
        rows = landing.landed(source) - began
        spent = meter.spent(rows)
        sources.pause(source)
    note = f"{os.cpu_count()} cores; each had its share after {shared:.1f} s"
    return Result(f"workers: {number}", rows / seconds, "rows/s", cpu=spent, note=note)


def _is_shared(source: Any, number: int) -> bool:
    """Whether all partitions are held, by ``number`` processes."""
    from ingestion.leases.rebalance import process_of
    from ingestion.models import StreamPartition

    owners = StreamPartition.across_tenants.filter(source=source).values_list("lease_owner")
    held = [process_of(owner) for (owner,) in owners if owner]
    return len(held) == PARTITIONS and len(set(held)) == number


def _await(done: Callable[[], bool], source: Any) -> float:
    """Wait until ``done()``; returns the seconds. Raises RuntimeError after PATIENCE."""
    began = time.perf_counter()
    while not done():
        if time.perf_counter() - began > PATIENCE:
            source.refresh_from_db()
            raise RuntimeError(f"{landing.landed(source):,} landed in time. {source.error}")
        time.sleep(0.02)
    return time.perf_counter() - began


@contextmanager
def _workers(home: Path, number: int) -> Iterator[list[int]]:
    """Run ``number`` counting workers; yields their pids once all are ready. Logs: ``home``."""
    processes = [_start(home, which, number) for which in range(number)]
    try:
        deadline = time.monotonic() + 60
        while not all(" ready." in log.read_text() for _, log in processes):
            if time.monotonic() > deadline:
                raise RuntimeError("\n".join(log.read_text()[-2000:] for _, log in processes))
            time.sleep(0.1)
        yield [process.pid for process, _ in processes]
    finally:
        for process, _ in processes:
            process.terminate()
        for process, _ in processes:
            process.wait(60)


def _start(home: Path, which: int, of: int) -> tuple[subprocess.Popen[bytes], Path]:
    log = home / "logs" / f"counting-{of}-{which}.log"
    command = [sys.executable, "-m", "bench.counting", "--app=millrace", "worker"]
    command += ["--queues=ingest", f"--hostname=counting-{of}-{which}@%h", "--pool=threads"]
    command += ["--concurrency=4", "--loglevel=INFO", "--without-gossip", "--without-mingle"]
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
    return process, log
