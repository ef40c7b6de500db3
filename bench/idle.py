"""The cost of sources without events, and the delay of the first event of such a source.

Four fifths of the sources read Kafka topics, a tenth RabbitMQ queues, and a tenth the events
endpoint. ``SOURCES_A_TABLE`` sources share a table: the number of tables costs the engine CPU, but
not the worker. CPU is the worker's alone, over ``SECONDS`` without events. After that, one event at
a time is sent to a source of each kind, and its table is queried until it has the event. Between
two rounds the pause is long enough for the worker to come to rest again.
"""

from __future__ import annotations

import argparse
import itertools
import random
import time
from collections.abc import Callable, Iterator
from statistics import median, quantiles
from typing import Any

import kombu
from confluent_kafka import Producer

from bench import cpu
from bench.installation import Installation
from bench.messages import make_topics, messages
from bench.report import Result

#: How many sources are idle at first.
FEW = 50
SOURCES_A_TABLE = 20
#: Seconds for the worker to come to rest, and seconds over which its CPU is measured.
REST, SECONDS = 15.0, 60.0
#: How many first events of each kind; seconds between two of them, and between two looks.
ROUNDS, BETWEEN, LOOK = 20, (1.0, 2.5), 0.02
#: Seconds within which every source must be leased, and an event must arrive.
PATIENCE = 240.0
#: The goals: the worker's CPU in per cent of a core, by number of sources; and the p95 of first
#: events in seconds.
WANTED = {50: 3.0, 1_000: 15.0}
WANTED_FIRST = 2.0
PROCESSES = ("worker-ingest", "postgres", "kafka", "rabbitmq")


def run(installation: Installation, given: argparse.Namespace) -> list[Result]:
    installation.stack.start(["rabbitmq"])
    sources = Sources(installation)
    installation.start_workers()
    try:
        return [
            result
            for count in sorted({min(FEW, given.idle_sources), given.idle_sources})
            for result in _results(installation, sources, count)
        ]
    finally:
        installation.stop_workers()


def _results(installation: Installation, sources: Sources, count: int) -> Iterator[Result]:
    sources.grow(count)
    sources.resume()
    leased_in = _await_leases(count)
    time.sleep(REST)
    meter = cpu.Meter(installation.pids(*PROCESSES))
    began = time.perf_counter()
    time.sleep(SECONDS)
    spent = meter.spent(time.perf_counter() - began)
    wanted = f"wanted: {WANTED[count]:.0f} at the most; " if count in WANTED else ""
    yield Result(
        f"{count:,} idle sources, of a core",
        spent["worker-ingest"] / 1e4,
        "%",
        cpu=spent,
        note=f"{wanted}all leased after {leased_in:.0f} s; a unit is a second",
    )
    delays = _first_events(sources)
    every = [seconds for of_kind in delays.values() for seconds in of_kind]
    yield Result(
        "an idle source's first event to queryable, p95",
        _p95(every),
        "s",
        note=f"wanted: {WANTED_FIRST:.0f} at the most; as many of each kind",
    )
    for kind, seconds in delays.items():
        note = f"p50 {median(seconds):.2f} s, longest {max(seconds):.2f} s"
        yield Result(f"of {kind}, p95", _p95(seconds), "s", note=note)


def _p95(seconds: list[float]) -> float:
    return quantiles(seconds, n=20, method="inclusive")[-1]


def _await_leases(count: int) -> float:
    """Seconds until a worker holds every source's partition."""
    from ingestion.models import StreamPartition

    began = time.perf_counter()
    held = 0
    while held < count:
        if time.perf_counter() - began > PATIENCE:
            raise RuntimeError(f"only {held:,} of {count:,} sources were leased in time")
        time.sleep(0.2)
        held = StreamPartition.across_tenants.exclude(lease_owner="").count()
    return time.perf_counter() - began


def _first_events(sources: Sources) -> dict[str, list[float]]:
    """Seconds from sending each event until it was queryable, by kind of source."""
    chance = random.Random(16)  # noqa: S311 - the times of events need not be secret
    bodies = messages(ROUNDS * len(sources.kinds), start=sources.sent)
    delays: dict[str, list[float]] = {kind: [] for kind in sources.kinds}
    for number in range(ROUNDS):
        time.sleep(chance.uniform(*BETWEEN))
        waiting: dict[str, tuple[Any, int, float]] = {}
        for kind, send in sources.kinds.items():
            source = sources.by_kind[kind][number % len(sources.by_kind[kind])]
            began = time.perf_counter()
            send(source, next(bodies))
            waiting[kind] = source, sources.next_id(), began
        while waiting:
            for kind, (source, event, began) in list(waiting.items()):
                if _has(source, event):
                    delays[kind].append(time.perf_counter() - began)
                    del waiting[kind]
                elif time.perf_counter() - began > PATIENCE:
                    raise RuntimeError(f"the event of a source of {kind} did not come in time")
            time.sleep(LOOK)
    return delays


def _has(source: Any, event: int) -> bool:
    from tenants.warehouse import client
    from tenants.warehouse.quoting import identifier

    table = f"{identifier(f't_{source.tenant.slug}')}.{identifier(source.table.name)}"
    return bool(client.rows(f"SELECT 1 FROM {table} WHERE id = {event} LIMIT 1"))


class Sources:
    """Idle sources, in ``by_kind``; ``kinds`` maps a kind to the function that sends an event."""

    def __init__(self, installation: Installation) -> None:
        self._installation = installation
        self._producer = Producer({"bootstrap.servers": installation.kafka, "linger.ms": 0})
        self._link = kombu.Connection(installation.urls["RABBITMQ_URL"])
        self._channel: Any = self._link.channel()
        self._rabbitmq = _rabbitmq_connection()
        self.kinds: dict[str, Callable[[Any, bytes], None]] = {
            "kafka": self._to_kafka,
            "rabbitmq": self._to_rabbitmq,
            "http": self._to_http,
        }
        self.by_kind: dict[str, list[Any]] = {kind: [] for kind in self.kinds}
        self.sent = 0

    def next_id(self) -> int:
        """The id of the next event: ``bench.messages`` numbers them from 1,000,000,000."""
        self.sent += 1
        return 1_000_000_000 + self.sent - 1

    def grow(self, count: int) -> None:
        """Make sources until there are ``count``."""
        names = [f"idle{number}" for number in range(sum(map(len, self.by_kind.values())), count)]
        kinds = {name: _kind(number) for number, name in enumerate(names)}
        make_topics(
            self._installation.kafka,
            [name for name in names if kinds[name] == "kafka"],
            partitions=1,
        )
        first: Any = None
        for number, name in enumerate(names):
            kind = kinds[name]
            if kind == "rabbitmq":
                self._channel.queue_declare(name, durable=True, auto_delete=False)
            if number % SOURCES_A_TABLE == 0:
                first = None
            source = first = self._made(name, kind, first)
            self.by_kind[kind].append(source)

    def _made(self, name: str, kind: str, like: Any) -> Any:
        """A new source, with the tenant and table of ``like``, or with new ones for None."""
        from ingestion.models import Source

        if like is None:
            like = self._installation.make_source(
                name, name, tenant=self._installation.make_tenant(name), active=False
            )
            Source.across_tenants.filter(pk=like.pk).delete()
        connections = {
            "kafka": self._installation.connection,
            "rabbitmq": self._rabbitmq,
            "http": None,
        }
        return Source.objects.create(
            tenant=like.tenant,
            name=name,
            connection=connections[kind],
            stream="" if kind == "http" else name,
            table=like.table,
            active=False,
        )

    def resume(self) -> None:
        """Resume every source."""
        from ingestion.services import sources

        for source in itertools.chain(*self.by_kind.values()):
            if not source.active:
                sources.resume(source)

    def _to_kafka(self, source: Any, body: bytes) -> None:
        self._producer.produce(source.stream, body, partition=0)
        self._producer.flush()

    def _to_rabbitmq(self, source: Any, body: bytes) -> None:
        message = self._channel.prepare_message(
            body, properties={"delivery_mode": 2, "message_id": f"event-{self.sent}"}
        )
        self._channel.basic_publish(message, exchange="", routing_key=source.stream)

    def _to_http(self, source: Any, body: bytes) -> None:
        """Accept an event as the endpoint does after it has checked the request."""
        from ingestion.services.events import accept

        accept(source, [body])


def _kind(number: int) -> str:
    return {8: "rabbitmq", 9: "http"}.get(number % 10, "kafka")


def _rabbitmq_connection() -> Any:
    from bench.rabbitmq import connection

    return connection()
