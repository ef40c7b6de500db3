"""All senders at once, each in a thread, and what they have to send."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pyarrow as pa
from django.db import connection

from millrace.demo import send_http, send_kafka, send_rabbitmq
from millrace.demo.cast import AIRLINES, ON_RABBITMQ, WEATHER, Airline
from millrace.demo.events import of_carrier
from millrace.demo.journal import Journal
from millrace.demo.progress import Sent


@dataclass(frozen=True)
class Stage:
    """Where to send what: addresses, the weather's key, rows by tenant, and the memory."""

    urls: Mapping[str, str]
    weather_key: str
    rows: Mapping[str, pa.Table]
    journal: Journal
    rabbitmq: bool

    @property
    def total(self) -> int:
        """Events of all tenants."""
        return sum(one.num_rows for one in self.rows.values())


def rows_by_tenant(flights: pa.Table, weather: pa.Table) -> dict[str, pa.Table]:
    found = {one.slug: of_carrier(flights, one.carrier) for one in AIRLINES}
    return found | {WEATHER: weather}


def partitions(airline: Airline) -> int:
    """Of an airline's topic, also of one that is on Kafka for want of RabbitMQ."""
    return airline.partitions or 2


def on_queues(*, rabbitmq: bool) -> list[Airline]:
    """The airlines whose flights come by a queue."""
    return [one for one in AIRLINES if rabbitmq and one.slug == ON_RABBITMQ]


def on_topics(*, rabbitmq: bool) -> list[Airline]:
    """The others."""
    return [one for one in AIRLINES if one not in on_queues(rabbitmq=rabbitmq)]


def make_streams(urls: Mapping[str, str], *, rabbitmq: bool) -> None:
    """Make the topics, and the queue, before any source looks for them."""
    topics = [(one, partitions(one)) for one in on_topics(rabbitmq=rabbitmq)]
    send_kafka.make_topics(_servers(urls), topics)
    for airline in on_queues(rabbitmq=rabbitmq):
        send_rabbitmq.make_queue(urls["RABBITMQ_URL"], airline.stream)


def _servers(urls: Mapping[str, str]) -> str:
    return urls["KAFKA_URL"].removeprefix("kafka://")


def start(stage: Stage, sent: Sent, failed: list[str]) -> list[threading.Thread]:
    """Start the senders; what one fails with is added to ``failed``."""
    kafka = on_topics(rabbitmq=stage.rabbitmq)
    queues = on_queues(rabbitmq=stage.rabbitmq)
    work: list[tuple[str, Callable[[], None]]] = [
        ("Kafka", lambda: _to_kafka(stage, kafka, sent)),
        ("the events endpoint", lambda: _to_http(stage, sent)),
    ]
    if queues:
        work.append(("RabbitMQ", lambda: _to_rabbitmq(stage, queues, sent)))
    threads = [
        threading.Thread(target=_guarded, args=(name, job, failed), daemon=True)
        for name, job in work
    ]
    for thread in threads:
        thread.start()
    return threads


def _guarded(name: str, job: Callable[[], None], failed: list[str]) -> None:
    try:
        job()
    except Exception as error:  # noqa: BLE001 - shown where the progress is
        failed.append(f"Sending to {name} failed: {type(error).__name__}: {error}")
    finally:
        connection.close()


def _to_kafka(stage: Stage, airlines: list[Airline], sent: Sent) -> None:
    for one in airlines:
        rows = stage.rows[one.slug]
        send_kafka.send(_servers(stage.urls), one, partitions(one), rows, sent.add)


def _to_rabbitmq(stage: Stage, airlines: list[Airline], sent: Sent) -> None:
    for one in airlines:
        url, rows = stage.urls["RABBITMQ_URL"], stage.rows[one.slug]
        send_rabbitmq.send(url, one, rows, stage.journal, sent.add)


def _to_http(stage: Stage, sent: Sent) -> None:
    url = f"{stage.urls['WEB_URL']}/api/v1/events/readings"
    send_http.send(url, stage.weather_key, stage.rows[WEATHER], sent.add)
