"""What sources cost that bring nothing, and how long the first event of one of them takes.

Four fifths of the sources read topics of Kafka, a tenth queues of RabbitMQ, and a tenth the events
endpoint. ``SOURCES_A_TABLE`` of them feed one table: how many tables there are costs the engine
something, and the worker nothing. CPU is that of the worker alone, over ``SECONDS`` in which no
event comes. After that one event at a time is sent to a source of each kind, whose table is asked
again and again until it has it. Between two rounds all is quiet for so long that the worker is back
at rest.
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
#: Seconds that the worker has to come to rest, and in which its CPU is counted: several slices.
REST, SECONDS = 15.0, 60.0
#: First events of each kind, seconds between two of them, and between two looks at the table.
ROUNDS, BETWEEN, LOOK = 20, (1.0, 2.5), 0.02
#: Seconds in which every source must have been leased, and an event must have come.
PATIENCE = 240.0
#: Of a core, in per cent, what the worker may take; seconds, what 95 of 100 first events may.
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
    every = [seconds for each in delays.values() for seconds in each]
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
    """By kind, the seconds that each event took from being sent to being queryable."""
    chance = random.Random(16)  # noqa: S311 - when events are sent need not be secret
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
    """Idle sources of every kind, in ``by_kind``; ``kinds`` has how one is sent an event."""

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
        """What the next event has for an id; ``bench.messages`` counts from there."""
        self.sent += 1
        return 1_000_000_000 + self.sent - 1

    def grow(self, count: int) -> None:
        """Make sources until there are so many."""
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
        """A source; of the tenant and table of ``like``, if there is one."""
        from ingestion.models import Source

        if like is None:
            like = self._installation.make_source(
                name, name, tenant=self._installation.make_tenant(name), active=False
            )
            Source.across_tenants.filter(pk=like.pk).delete()
        on = {"kafka": self._installation.connection, "rabbitmq": self._rabbitmq, "http": None}
        return Source.objects.create(
            tenant=like.tenant,
            name=name,
            connection=on[kind],
            stream="" if kind == "http" else name,
            table=like.table,
            active=False,
        )

    def resume(self) -> None:
        """Have all of them consumed."""
        from ingestion.services import sources

        for one in itertools.chain(*self.by_kind.values()):
            if not one.active:
                sources.resume(one)

    def _to_kafka(self, source: Any, body: bytes) -> None:
        self._producer.produce(source.stream, body, partition=0)
        self._producer.flush()

    def _to_rabbitmq(self, source: Any, body: bytes) -> None:
        message = self._channel.prepare_message(
            body, properties={"delivery_mode": 2, "message_id": f"event-{self.sent}"}
        )
        self._channel.basic_publish(message, exchange="", routing_key=source.stream)

    def _to_http(self, source: Any, body: bytes) -> None:
        """What the endpoint does with a request's body once it has let it in."""
        from ingestion.services.events import accept

        accept(source, [body])


def _kind(number: int) -> str:
    return {8: "rabbitmq", 9: "http"}.get(number % 10, "kafka")


def _rabbitmq_connection() -> Any:
    from bench.rabbitmq import connection

    return connection()
