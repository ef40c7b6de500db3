"""The most memory that a worker takes, whatever waits for it: each time a worker that is new."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from bench import cpu
from bench.installation import Installation
from bench.messages import PARTITIONS, fill, make_topics, messages
from bench.report import Result

#: What a worker stays under, as README.md says: bytes.
BOUND = 2 << 30
LARGE = 10_000_000
#: Seconds in which a backlog must have landed.
PATIENCE = 150.0


@dataclass(frozen=True)
class Backlog:
    name: str
    title: str
    count: int
    partitions: int
    bodies: Iterable[bytes]


def _backlogs(given: argparse.Namespace) -> Iterator[Backlog]:
    small = given.memory_messages
    yield Backlog("small", f"{small:,} small ones", small, PARTITIONS, messages(small))
    large = given.memory_large
    yield Backlog("large", f"{large:,} of 10 MB", large, PARTITIONS, _large(large))
    many = given.memory_partitions
    rows = 1_000 * many
    yield Backlog("many", f"{rows:,} small ones, {many:,} partitions", rows, many, messages(rows))


def _large(count: int) -> Iterator[bytes]:
    filling = b'"page":"%s' % (b"x" * LARGE)
    for message in messages(count):
        yield message.replace(b'"page":"', filling, 1)


def run(installation: Installation, given: argparse.Namespace) -> list[Result]:
    return [_measured(installation, backlog) for backlog in _backlogs(given)]


def _measured(installation: Installation, backlog: Backlog) -> Result:
    from ingestion.services import sources

    name = f"memory_{backlog.name}"
    make_topics(installation.kafka, [name], backlog.partitions, max_message_bytes=str(32 << 20))
    fill(installation.kafka, name, backlog.bodies, backlog.partitions)
    source = installation.make_source(name, name, active=False)
    installation.start_workers()
    try:
        worker = installation.pids("worker-ingest")["worker-ingest"]
        base = cpu.rss(worker)
        began = time.perf_counter()
        sources.resume(source)
        _await(installation, source, backlog.count)
        seconds = time.perf_counter() - began
        peak = cpu.peak_rss(worker)
    finally:
        installation.stop_workers()
    return Result(
        f"peak under a backlog: {backlog.title}",
        peak / 2**20,
        "MiB",
        note=f"bound {BOUND >> 20:,} MiB, idle {base >> 20:,} MiB; landed in {seconds:.0f} s",
    )


def _await(installation: Installation, source: Any, count: int) -> None:
    """Until the table has all of them; a source's positions tell when to look."""
    from tenants.warehouse import client

    deadline = time.monotonic() + PATIENCE
    rows = 0
    while rows < count:
        if time.monotonic() > deadline:
            source.refresh_from_db()
            raise RuntimeError(f"{source}: {rows:,} of {count:,} landed. {source.error}")
        time.sleep(0.5)
        (found,) = client.rows(f"SELECT count() AS rows FROM t_bench.{source.name}")
        rows = found["rows"]
