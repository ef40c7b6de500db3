"""The peak memory of a worker under several backlogs, with a new worker for each."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from bench import cpu
from bench.installation import Installation
from bench.messages import PARTITIONS, fill, make_topics, messages
from bench.report import Result

#: The most memory of a worker, in bytes, as docs/benchmarks.md promises.
BOUND = 2 << 30
LARGE = 10_000_000
#: How many messages wait for each of several tenants.
EACH = 50_000
#: Seconds within which a backlog must land.
PATIENCE = 150.0


@dataclass(frozen=True)
class Backlog:
    name: str
    title: str
    count: int
    partitions: int
    #: Called for each tenant's topic.
    bodies: Callable[[], Iterable[bytes]]
    tenants: int = 1


def _backlogs(given: argparse.Namespace) -> Iterator[Backlog]:
    small = given.memory_messages
    yield Backlog("small", f"{small:,} small ones", small, PARTITIONS, partial(messages, small))
    large = given.memory_large
    yield Backlog("large", f"{large:,} of 10 MB", large, PARTITIONS, partial(_large, large))
    many = given.memory_partitions
    rows = 1_000 * many
    bodies = partial(messages, rows)
    yield Backlog("many", f"{rows:,} small ones, {many:,} partitions", rows, many, bodies)
    tenants = given.memory_tenants
    rows, bodies = EACH * tenants, partial(messages, EACH)
    yield Backlog("tenants", f"{rows:,} small ones, {tenants:,} tenants", rows, 1, bodies, tenants)


def _large(count: int) -> Iterator[bytes]:
    filling = b'"page":"%s' % (b"x" * LARGE)
    for message in messages(count):
        yield message.replace(b'"page":"', filling, 1)


def run(installation: Installation, given: argparse.Namespace) -> list[Result]:
    return [_measured(installation, backlog) for backlog in _backlogs(given)]


def _measured(installation: Installation, backlog: Backlog) -> Result:
    from ingestion.services import sources

    paused = list(_sources(installation, backlog))
    installation.start_workers()
    try:
        worker = installation.pids("worker-ingest")["worker-ingest"]
        base = cpu.rss(worker)
        began = time.perf_counter()
        for source in paused:
            sources.resume(source)
        _await(paused, backlog.count)
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


def _sources(installation: Installation, backlog: Backlog) -> Iterator[Any]:
    """New, paused sources, with the backlog in their topics."""
    for number in range(backlog.tenants):
        name = f"memory_{backlog.name}" if backlog.tenants == 1 else f"memory{number}"
        tenant = None if backlog.tenants == 1 else installation.make_tenant(name)
        make_topics(installation.kafka, [name], backlog.partitions, max_message_bytes=str(32 << 20))
        fill(installation.kafka, name, backlog.bodies(), backlog.partitions)
        yield installation.make_source(name, name, tenant=tenant, active=False)


def _await(sources: list[Any], count: int) -> None:
    """Wait until the sources' tables have ``count`` rows."""
    deadline = time.monotonic() + PATIENCE
    while (rows := sum(map(_rows, sources))) < count:
        if time.monotonic() > deadline:
            for source in sources:
                source.refresh_from_db()
            errors = {source.error for source in sources if source.error}
            raise RuntimeError(f"{rows:,} of {count:,} landed. {' '.join(errors)}")
        time.sleep(0.5)


def _rows(source: Any) -> int:
    from tenants.warehouse import client

    table = f"{source.tenant.warehouse.database}.{source.name}"
    (row,) = client.rows(f"SELECT count() AS rows FROM {table}")
    return int(row["rows"])
