"""Flights to a RabbitMQ queue.

A queue says neither what was ever in it nor what is at its end. So the journal has the range that
is being published before it is; after a crash within it, the queue is let run empty, and the table
says which of the range are there: each event has its number as its message id.
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

#: Events of one entry in the journal.
CHUNK = 500
_SECONDS = 120
_AWAY = (OperationalError, amqp.exceptions.AMQPError, OSError)


def send(
    url: str, airline: Airline, rows: pa.Table, journal: Journal, told: Callable[[int], None]
) -> None:
    """Publish what was not yet, in chunks, each committed by the broker before the next."""
    key = f"published.{airline.slug}"
    done: int = journal.get(key, 0)
    told(done)
    if journal.get(f"{key}.to", done) > done:
        done = _settle(url, airline, rows, journal, key, done, told)
    while done < rows.num_rows:
        end = min(done + CHUNK, rows.num_rows)
        journal.put(**{f"{key}.to": end})
        try:
            _publish(url, airline.stream, rows, range(done, end))
        except _AWAY:
            # The broker is away, or was while it was told: what of the range it has is unknown.
            time.sleep(1)
            done = _settle(url, airline, rows, journal, key, done, told)
            continue
        journal.put(**{key: end})
        told(end - done)
        done = end


def make_queue(url: str, queue: str) -> None:
    """Declare the queue, durable."""
    with kombu.Connection(url) as connection:
        kombu.Queue(queue, durable=True)(connection.default_channel).declare()


def _publish(url: str, queue: str, rows: pa.Table, numbers: range | list[int]) -> None:
    wanted = set(numbers)
    events = zip(range(min(wanted), rows.num_rows), flight_events(rows, min(wanted)), strict=False)
    with kombu.Connection(url) as connection, connection.Producer() as producer:
        # One commit for all of them: confirms would be waited for one by one.
        channel: Any = producer.channel
        channel.tx_select()
        for number, event in events:
            if number > max(wanted):
                break
            if number in wanted:
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
    told: Callable[[int], None],
) -> int:
    """Publish what is missing of the range that was under way; returns where it ends."""
    end: int = journal.get(f"{key}.to")
    _wait_until_empty(url, airline)
    there = _landed(airline, range(done, end))
    missing = [number for number in range(done, end) if number not in there]
    if missing:
        _publish(url, airline.stream, rows, missing)
    journal.put(**{key: end})
    told(end - done)
    return end


def _wait_until_empty(url: str, airline: Airline) -> None:
    """Return when all that the queue had is in the table, and acknowledged."""
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
    raise TimeoutError(f"The queue {airline.stream} was not read to its end in {_SECONDS} s.")


def _landed(airline: Airline, numbers: range) -> set[int]:
    source = Source.objects.select_related("table__tenant__warehouse").get(
        tenant__slug=airline.slug, name="flights"
    )
    at = place_of(source.table)
    ids = [f"{airline.stream}-{number}" for number in numbers]
    found = client.rows(
        " UNION ALL ".join(
            f"SELECT _message_id AS id FROM {place} WHERE _message_id IN {{ids:Array(String)}}"
            for place in (at.table, at.quarantine)
        ),
        {"ids": ids},
    )
    return {int(row["id"].rpartition("-")[2]) for row in found}
