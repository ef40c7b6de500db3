"""The most memory that a worker takes, whatever waits for it: each time a worker that is new."""

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

#: What a worker stays under, as docs/benchmarks.md says: bytes.
BOUND = 2 << 30
LARGE = 10_000_000
#: Messages that wait for each tenant, where there are several.
EACH = 50_000
#: Seconds in which a backlog must have landed.
PATIENCE = 150.0


@dataclass(frozen=True)
class Backlog:
    name: str
    title: str
    count: int
    partitions: int
    #: Made anew for each tenant's topic.
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

    made = list(_sources(installation, backlog))
    installation.start_workers()
    try:
        worker = installation.pids("worker-ingest")["worker-ingest"]
        base = cpu.rss(worker)
        began = time.perf_counter()
        for source in made:
            sources.resume(source)
        _await(made, backlog.count)
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
    """Paused, with the backlog in their topics."""
    for number in range(backlog.tenants):
        name = f"memory_{backlog.name}" if backlog.tenants == 1 else f"memory{number}"
        tenant = None if backlog.tenants == 1 else installation.make_tenant(name)
        make_topics(installation.kafka, [name], backlog.partitions, max_message_bytes=str(32 << 20))
        fill(installation.kafka, name, backlog.bodies(), backlog.partitions)
        yield installation.make_source(name, name, tenant=tenant, active=False)


def _await(made: list[Any], count: int) -> None:
    """Until the tables have all of them."""
    deadline = time.monotonic() + PATIENCE
    while (rows := sum(map(_rows, made))) < count:
        if time.monotonic() > deadline:
            for source in made:
                source.refresh_from_db()
            errors = {source.error for source in made if source.error}
            raise RuntimeError(f"{rows:,} of {count:,} landed. {' '.join(errors)}")
        time.sleep(0.5)


def _rows(source: Any) -> int:
    from tenants.warehouse import client

    table = f"{source.tenant.warehouse.database}.{source.name}"
    (found,) = client.rows(f"SELECT count() AS rows FROM {table}")
    return int(found["rows"])
