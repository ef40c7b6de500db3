"""Many tenants on one worker: a source each, with 2,000 events a second spread over all of them.

Freshness is measured from outside: a reader repeatedly asks the tables of some tenants for their
newest events. Events that have not arrived at the end of the run count with their age at that time.
Memory is the worker's peak minus its memory while it consumed one tenant alone.
"""

from __future__ import annotations

import argparse
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from statistics import quantiles
from typing import Any

from confluent_kafka import Producer

from bench import cpu
from bench.installation import Installation
from bench.messages import make_topics, messages
from bench.report import Result
from bench.statements import Counter

RATE = 2_000
#: Seconds of the same load before the measured ones: Kafka's code is compiled as it runs, which
#: takes a whole core at first and settles within a minute if Kafka has the machine to itself.
LEAD = 90
#: How long the producer collects messages of a topic, which counts as part of their age. Each
#: request is for one partition, and the broker's cost depends on the number of requests.
LINGER_MS = 1_000
#: Tenants whose tables are watched, and seconds between two looks.
WATCHED, LOOK = 16, 1.0
#: Seconds to wait after the last event for those still on their way.
PATIENCE = 45.0
#: Seconds within which every source must land its first event.
WARM_UP = 240.0
PROVISIONERS = 4
PROCESSES = ("worker-ingest", "worker-default", "clickhouse", "kafka", "postgres")


def run(installation: Installation, given: argparse.Namespace) -> list[Result]:
    made_in, sources = _set_up(installation, given.tenants)
    statements = Counter(installation.stack, installation.home)
    installation.start_workers()
    try:
        worker = installation.pids("worker-ingest")["worker-ingest"]
        base = _base(installation, sources[0], worker)
        warm_in = _warm_up(installation, sources)
        run = Run(installation, len(sources), given.tenant_seconds)
        run.begin()
        statements.reset()
        meter = cpu.Meter(installation.pids(*PROCESSES))
        batches = _batches()
        delays, missing = run.measure()
        passed = run.passed
        spent = meter.spent(RATE * given.tenant_seconds)
        inserts = (_batches() - batches) / passed
        asked = statements.total() / passed
        for calls, mean, text in statements.most(given.statements):
            print(f"{calls / passed:8.1f}/s {mean:8.2f} ms  {text}", file=sys.stderr)
        memory = (cpu.peak_rss(worker) - base) / len(sources)
    finally:
        installation.stop_workers()
    cuts = quantiles(delays, n=100)
    late = f"; {missing:,} of {len(delays):,} had not come" if missing else ""
    slowest = _slowest(sources)
    return [
        Result(
            f"{len(sources):,} tenants, event to queryable, p50",
            cuts[49],
            "s",
            cpu=spent,
            note=f"sent {run.total / run.sent_in:,.0f} events/s",
        ),
        Result("p99", cuts[98], "s", note=f"wanted: 15 at the most{late}"),
        Result("p99 of the slowest tenant, to the insert", slowest, "s"),
        Result("worker's memory a tenant, at its peak", memory / 1e6, "MB", note="wanted: below 1"),
        Result("inserts", inserts, "/s"),
        Result("statements that Postgres ran", asked, "/s"),
        Result("from all sources resumed to a row of each", warm_in, "s"),
        Result("making tenants, warehouses, tables, sources", made_in, "s"),
    ]


# --- Set-up ---------------------------------------------------------------------------------------


def _slug(number: int) -> str:
    return f"many{number}"


def _set_up(installation: Installation, count: int) -> tuple[float, list[Any]]:
    """Create all with the product's own provisioning; returns the seconds and the sources."""
    from django.db import connections

    began = time.perf_counter()

    def make(number: int) -> Any:
        try:
            tenant = installation.make_tenant(_slug(number))
            return installation.make_source("events", _slug(number), tenant=tenant, active=False)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(PROVISIONERS) as pool:
        sources = list(pool.map(make, range(count)))
    made_in = time.perf_counter() - began
    make_topics(installation.kafka, map(_slug, range(count)), partitions=1)
    return made_in, sources


def _base(installation: Installation, source: Any, worker: int) -> int:
    """The worker's memory in bytes while it consumes one tenant."""
    from ingestion.services import sources

    sources.resume(source)
    producer = _producer(installation)
    producer.produce(source.stream, next(messages(1)))
    producer.flush()
    _await_positions(1, WARM_UP)
    time.sleep(2)
    return cpu.rss(worker)


def _warm_up(installation: Installation, paused: list[Any]) -> float:
    """Seconds until each source has landed a message, after all are resumed at once."""
    from ingestion.services import sources

    producer = _producer(installation)
    for source in paused[1:]:
        producer.produce(source.stream, next(messages(1)))
    producer.flush()
    began = time.perf_counter()
    for source in paused[1:]:
        sources.resume(source)
    _await_positions(len(paused), WARM_UP)
    return time.perf_counter() - began


def _await_positions(count: int, seconds: float) -> None:
    """Wait until ``count`` messages have landed; after ``seconds`` print a warning and return."""
    from django.db.models import Sum

    from ingestion.models import StreamPartition

    deadline = time.monotonic() + seconds
    landed = 0
    while landed < count:
        if time.monotonic() > deadline:
            print(f"only {landed:,} of {count:,} tenants have a row", file=sys.stderr)
            return
        time.sleep(0.5)
        partitions = StreamPartition.across_tenants.filter(source__stream__startswith=_slug(0)[:-1])
        landed = partitions.aggregate(sum=Sum("position"))["sum"] or 0


def _producer(installation: Installation) -> Producer:
    return Producer({"bootstrap.servers": installation.kafka, "linger.ms": LINGER_MS})


# --- The run --------------------------------------------------------------------------------------


class Run:
    """Sends events to every tenant in turn, and measures how long those of some tenants take."""

    def __init__(self, installation: Installation, tenants: int, seconds: float) -> None:
        self._installation, self._tenants = installation, tenants
        self.total = int(RATE * (LEAD + seconds))
        self._sent = [0.0] * self.total
        step = max(1, tenants // WATCHED)
        self._watched = range(0, tenants, step)[:WATCHED]
        self._sender = threading.Thread(target=self._send)
        self.passed = self.sent_in = 0.0

    def begin(self) -> None:
        """Start sending; returns when the measured events begin."""
        self._sender.start()
        time.sleep(LEAD)

    def measure(self) -> tuple[list[float], int]:
        """Seconds that each watched event took, and how many had not arrived at the end."""
        began = time.perf_counter()
        delays = self._watch()
        self._sender.join()
        self.passed = time.perf_counter() - began
        return delays

    def _send(self) -> None:
        producer = _producer(self._installation)
        began = time.perf_counter()
        for number, message in enumerate(messages(self.total)):
            if number % 20 == 0:
                time.sleep(max(0.0, began + number / RATE - time.perf_counter()))
                producer.poll(0)
            self._sent[number] = time.perf_counter()
            while not self._produced(producer, _slug(number % self._tenants), message):
                producer.poll(0.1)
        self.sent_in = time.perf_counter() - began
        producer.flush()

    @staticmethod
    def _produced(producer: Producer, topic: str, message: bytes) -> bool:
        try:
            producer.produce(topic, message, partition=0)
        except BufferError:  # Kafka accepts messages more slowly than they are made
            return False
        return True

    def _expected(self, tenant: int) -> range:
        return range(tenant, self.total, self._tenants)

    def _measured(self, tenant: int) -> list[int]:
        return [number for number in self._expected(tenant) if number >= RATE * LEAD]

    def _watch(self) -> tuple[list[float], int]:
        from tenants.warehouse import client

        first = 1_000_000_000
        sql = " UNION ALL ".join(
            # The warm-up's event also has the first id, so it never is the newest.
            f"SELECT {tenant} AS tenant, max(id) AS newest FROM `t_{_slug(tenant)}`.events"
            for tenant in self._watched
        )
        seen = dict.fromkeys(self._watched, 0)
        delays: list[float] = []
        total = sum(len(self._measured(tenant)) for tenant in self._watched)
        deadline = time.perf_counter() + self.total / RATE - LEAD + PATIENCE
        while len(delays) < total and time.perf_counter() < deadline:
            rows = client.rows(sql)
            now = time.perf_counter()
            for row in rows:
                delays += self._arrived(row["tenant"], row["newest"] - first, seen, now)
            time.sleep(LOOK)
        missing = [
            time.perf_counter() - self._sent[number]
            for tenant in self._watched
            for number in self._expected(tenant)[seen[tenant] :]
            if number >= RATE * LEAD
        ]
        return delays + missing, len(missing)

    def _arrived(
        self, tenant: int, newest: int, seen: dict[int, int], now: float
    ) -> Iterator[float]:
        """Seconds of the events up to ``newest``: one tenant's events arrive in order."""
        expected = self._expected(tenant)
        while seen[tenant] < len(expected) and expected[seen[tenant]] <= newest:
            if expected[seen[tenant]] >= RATE * LEAD:
                yield now - self._sent[expected[seen[tenant]]]
            seen[tenant] += 1


def _batches() -> int:
    from ingestion.models import Batch

    return Batch.across_tenants.count()


def _slowest(sources: list[Any]) -> float:
    """The highest p99 of any tenant, in seconds, of its rows' age when their insert began."""
    from tenants.warehouse import client

    highest = 0.0
    for source in sources:
        (row,) = client.rows(
            "SELECT quantile(0.99)(dateDiff('millisecond', _timestamp, _ingested_at)) AS age "
            f"FROM `t_{source.stream}`.events WHERE id != 1000000000"
        )
        highest = max(highest, row["age"])
    return highest / 1000
