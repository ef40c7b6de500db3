"""Sends flights to a RabbitMQ queue, each exactly once.

A queue does not say which messages it ever held. So the journal notes each range of events before
it is published. After a crash in the middle of a range, the sender waits until the queue is empty
and asks the table which events of the range it has: an event's message id is its number.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import amqp.exceptions
import kombu
import pyarrow as pa
from kombu.exceptions import OperationalError

from ingestion.landing.addresses import place_of
from ingestion.models import Source, StreamPartition
from millrace.demo.cast import Airline
from millrace.demo.events import flight_events
from millrace.demo.journal import Journal
from tenants.warehouse import client

#: Events per entry in the journal.
CHUNK = 500
_SECONDS = 120
_AWAY = (OperationalError, amqp.exceptions.AMQPError, OSError)


def send(
    url: str, airline: Airline, rows: pa.Table, journal: Journal, confirm: Callable[[int], None]
) -> None:
    """Publish the events that are missing, in chunks; the broker commits each before the next.

    ``confirm`` is called with each number of events that the broker has committed.
    """
    key = f"published.{airline.slug}"
    done: int = journal.get(key, 0)
    confirm(done)
    if journal.get(f"{key}.to", done) > done:
        done = _settle(url, airline, rows, journal, key, done, confirm)
    while done < rows.num_rows:
        end = min(done + CHUNK, rows.num_rows)
        journal.put(**{f"{key}.to": end})
        try:
            _publish(url, airline.stream, rows, range(done, end))
        except _AWAY:
            # The connection failed before or after the commit, so what the broker has is unknown.
            time.sleep(1)
            done = _settle(url, airline, rows, journal, key, done, confirm)
            continue
        journal.put(**{key: end})
        confirm(end - done)
        done = end


def make_queue(url: str, queue: str) -> None:
    """Declare the queue, durable."""
    with kombu.Connection(url) as connection:
        kombu.Queue(queue, durable=True)(connection.default_channel).declare()


def _publish(url: str, queue: str, rows: pa.Table, numbers: range | list[int]) -> None:
    chosen = set(numbers)
    events = zip(range(min(chosen), rows.num_rows), flight_events(rows, min(chosen)), strict=False)
    with kombu.Connection(url) as connection, connection.Producer() as producer:
        # One transaction for the whole range: kombu would wait for each confirm separately.
        channel: Any = producer.channel
        channel.tx_select()
        for number, event in events:
            if number > max(chosen):
                break
            if number in chosen:
                producer.publish(
                    event,
                    exchange="",
                    routing_key=queue,
                    delivery_mode=2,
                    content_type="application/json",
                    content_encoding="binary",
                    message_id=f"{queue}-{number}",
                )
        channel.tx_commit()


def _settle(
    url: str,
    airline: Airline,
    rows: pa.Table,
    journal: Journal,
    key: str,
    done: int,
    confirm: Callable[[int], None],
) -> int:
    """Publish the missing events of an interrupted range; returns the range's end."""
    end: int = journal.get(f"{key}.to")
    _wait_until_empty(url, airline)
    landed = _landed(airline, range(done, end))
    missing = [number for number in range(done, end) if number not in landed]
    if missing:
        _publish(url, airline.stream, rows, missing)
    journal.put(**{key: end})
    confirm(end - done)
    return end


def _wait_until_empty(url: str, airline: Airline) -> None:
    """Wait until everything in the queue is in the table and acknowledged; raises TimeoutError."""
    until = time.monotonic() + _SECONDS
    source = Source.objects.get(tenant__slug=airline.slug, name="flights")
    while time.monotonic() < until:
        try:
            with kombu.Connection(url) as connection:
                channel: Any = connection.default_channel
                ready = channel.queue_declare(airline.stream, passive=True).message_count
        except amqp.exceptions.NotFound:
            return
        except _AWAY:
            ready = -1
        unsettled = (
            StreamPartition.across_tenants.filter(source=source)
            .exclude(batches__isnull=True)
            .filter(batches__state__in=("intent", "done"))
        )
        if ready == 0 and not unsettled.exists():
            return
        time.sleep(0.5)
    raise TimeoutError(f"The queue {airline.stream} was not emptied within {_SECONDS} s.")


def _landed(airline: Airline, numbers: range) -> set[int]:
    source = Source.objects.select_related("table__tenant__warehouse").get(
        tenant__slug=airline.slug, name="flights"
    )
    at = place_of(source.table)
    ids = [f"{airline.stream}-{number}" for number in numbers]
    rows = client.rows(
        " UNION ALL ".join(
            f"SELECT _message_id AS id FROM {place} WHERE _message_id IN {{ids:Array(String)}}"
            for place in (at.table, at.quarantine)
        ),
        {"ids": ids},
    )
    return {int(row["id"].rpartition("-")[2]) for row in rows}
