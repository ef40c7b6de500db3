"""Messages a second from a RabbitMQ queue to the typed table, beside a consumer that only acks.

The queue is durable and classic, filled before with persistent messages that have ids. The consumer
is kombu's, with a tuned prefetch and one acknowledgement for many messages. It does nothing with
the messages.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from typing import Any

import kombu

from bench import cpu, landing
from bench.installation import Installation
from bench.messages import messages
from bench.report import Result, compared

#: How many messages are sent before the queue is asked whether it has them.
_PACE = 5_000


def run(installation: Installation, given: argparse.Namespace) -> list[Result]:
    installation.stack.start(["rabbitmq"])
    count = given.queue_messages
    theirs = _rival(installation, count)
    return compared(_millrace(installation, count), [theirs])


def _millrace(installation: Installation, count: int) -> Result:
    from tenants.warehouse import client

    _fill(installation, "bench-queue", count)
    source = installation.make_source(
        "queued", "bench-queue", connection=connection(), active=False
    )
    installation.start_workers()
    meter = cpu.Meter(installation.pids("worker-ingest", "clickhouse", "rabbitmq"))
    try:
        seconds = landing.timed(source, count)
        spent = meter.spent(count)
    finally:
        installation.stop_workers()
    (row,) = client.rows("SELECT count() AS rows, uniqExact(id) AS ids FROM t_bench.queued")
    if (row["rows"], row["ids"]) != (count, count):
        raise RuntimeError(f"{row['rows']:,} rows and {row['ids']:,} ids of {count:,}")
    return Result("Millrace: RabbitMQ to the table", count / seconds, "messages/s", cpu=spent)


def connection() -> Any:
    from ingestion.models import Connection
    from millrace.embedded import service_urls

    known = service_urls.brokers()
    return Connection.objects.create(
        name="rabbitmq",
        kind="rabbitmq",
        addresses=known["RABBITMQ_ADDRESSES"],
        username=known["RABBITMQ_USERNAME"],
        password=known["RABBITMQ_PASSWORD"],
    )


def _rival(installation: Installation, count: int) -> Result:
    _fill(installation, "bench-acks", count)
    meter = cpu.Meter(installation.pids("rabbitmq"))
    url = installation.urls["RABBITMQ_URL"]
    done = subprocess.run(
        [sys.executable, "-m", "bench.rivals.kombu_acks", url, "bench-acks", str(count)],
        check=True,
        capture_output=True,
        text=True,
    )
    outcome = json.loads(done.stdout)
    spent = {"script": outcome["cpu_seconds"] / count * 1e6, **meter.spent(count)}
    return Result(
        "a kombu consumer that only acks", count / outcome["seconds"], "messages/s", cpu=spent
    )


def _fill(installation: Installation, queue: str, count: int) -> None:
    """Create the queue, send the messages, and wait until the broker has all of them.

    Messages are sent only as fast as the broker stores them: the rest would fill its memory up to
    the mark at which it blocks publishers.
    """
    with kombu.Connection(installation.urls["RABBITMQ_URL"]) as link, link.channel() as channel:
        publish: Any = channel
        publish.queue_declare(queue, durable=True, auto_delete=False)
        for number, body in enumerate(messages(count), start=1):
            message = publish.prepare_message(
                body, properties={"delivery_mode": 2, "message_id": f"order-{number}"}
            )
            publish.basic_publish(message, exchange="", routing_key=queue)
            if number % _PACE == 0 or number == count:
                while publish.queue_declare(queue, passive=True).message_count < number:
                    time.sleep(0.05)
    # Let the broker's disk and garbage collector come to rest.
    time.sleep(2)
