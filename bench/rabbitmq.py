"""Messages a second from a RabbitMQ queue to the typed table, beside a consumer that only acks.

A durable classic queue of persistent messages with ids, filled before. The consumer is kombu's,
with its prefetch tuned and one acknowledgement for many; it does nothing with what it gets.
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

#: Messages sent before the queue is asked whether it has them.
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
    said = json.loads(done.stdout)
    spent = {"script": said["cpu_seconds"] / count * 1e6, **meter.spent(count)}
    return Result(
        "a kombu consumer that only acks", count / said["seconds"], "messages/s", cpu=spent
    )


def _fill(installation: Installation, queue: str, count: int) -> None:
    """Make the queue, send, and wait until the broker has all of it.

    Not faster than the broker stores: what it has not stored yet fills its memory up to the mark
    at which it refuses publishers.
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
    # Its disk and its collector of garbage come to rest.
    time.sleep(2)
