"""Runs all senders at the same time, each in a thread, and says what each has to send."""

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
    """What to send and where: URLs, the weather service's key, rows by tenant, and the journal."""

    urls: Mapping[str, str]
    weather_key: str
    rows: Mapping[str, pa.Table]
    journal: Journal
    rabbitmq: bool

    @property
    def total(self) -> int:
        """The number of events of all tenants."""
        return sum(rows.num_rows for rows in self.rows.values())


def rows_by_tenant(flights: pa.Table, weather: pa.Table) -> dict[str, pa.Table]:
    """The rows that each tenant sends, by slug."""
    of_airlines = {airline.slug: of_carrier(flights, airline.carrier) for airline in AIRLINES}
    return of_airlines | {WEATHER: weather}


def partitions(airline: Airline) -> int:
    """The partitions of an airline's topic, also if it is on Kafka because RabbitMQ is missing."""
    return airline.partitions or 2


def on_queues(*, rabbitmq: bool) -> list[Airline]:
    """The airlines that send to a RabbitMQ queue."""
    return [airline for airline in AIRLINES if rabbitmq and airline.slug == ON_RABBITMQ]


def on_topics(*, rabbitmq: bool) -> list[Airline]:
    """The airlines that send to a Kafka topic."""
    return [airline for airline in AIRLINES if airline not in on_queues(rabbitmq=rabbitmq)]


def make_streams(urls: Mapping[str, str], *, rabbitmq: bool) -> None:
    """Create the topics and the queue, before any source looks for them."""
    topics = [(airline, partitions(airline)) for airline in on_topics(rabbitmq=rabbitmq)]
    send_kafka.make_topics(_servers(urls), topics)
    for airline in on_queues(rabbitmq=rabbitmq):
        send_rabbitmq.make_queue(urls["RABBITMQ_URL"], airline.stream)


def _servers(urls: Mapping[str, str]) -> str:
    return urls["KAFKA_URL"].removeprefix("kafka://")


def start(stage: Stage, sent: Sent, failed: list[str]) -> list[threading.Thread]:
    """Start the senders; a sender that fails appends its error to ``failed``."""
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
    except Exception as error:  # noqa: BLE001 - the progress display shows it
        failed.append(f"Sending to {name} failed: {type(error).__name__}: {error}")
    finally:
        connection.close()


def _to_kafka(stage: Stage, airlines: list[Airline], sent: Sent) -> None:
    for airline in airlines:
        rows = stage.rows[airline.slug]
        send_kafka.send(_servers(stage.urls), airline, partitions(airline), rows, sent.add)


def _to_rabbitmq(stage: Stage, airlines: list[Airline], sent: Sent) -> None:
    for airline in airlines:
        url, rows = stage.urls["RABBITMQ_URL"], stage.rows[airline.slug]
        send_rabbitmq.send(url, airline, rows, stage.journal, sent.add)


def _to_http(stage: Stage, sent: Sent) -> None:
    url = f"{stage.urls['WEB_URL']}/api/v1/events/readings"
    send_http.send(url, stage.weather_key, stage.rows[WEATHER], sent.add)
