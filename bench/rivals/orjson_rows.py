"""Inserts parsed rows: ``python -m bench.rivals.orjson_rows SERVERS TOPIC URL TABLE N``."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

import clickhouse_connect
import orjson
from confluent_kafka import Consumer, TopicPartition

from bench.messages import PARTITIONS

BATCH = 50_000
NAMES = ["time", "id", "user_id", "country", "page", "amount", "items", "paid"]


def main(
    servers: str,
    topic: str,
    url: str,
    table: str,
    count: str,
    loads: Callable[[bytes], Any] = orjson.loads,
) -> None:
    consumer = Consumer(
        {"bootstrap.servers": servers, "group.id": table, "enable.auto.commit": False}
    )
    consumer.assign([TopicPartition(topic, number, 0) for number in range(PARTITIONS)])
    client = clickhouse_connect.get_client(dsn=url)
    started, landed, rows = 0.0, 0, []
    while landed < int(count):
        for message in consumer.consume(10_000, timeout=0.5):
            started = started or time.perf_counter()
            event = loads(message.value())
            user = event["user"]
            rows.append(
                (
                    datetime.fromisoformat(event["time"]),
                    event["id"],
                    user["id"],
                    user["country"],
                    event["page"],
                    event["amount"],
                    event["items"],
                    event["paid"],
                )
            )
        if len(rows) >= BATCH or landed + len(rows) >= int(count):
            client.insert(table, rows, column_names=NAMES)
            consumer.commit(asynchronous=True)
            landed, rows = landed + len(rows), []
    seconds = time.perf_counter() - started
    consumer.close()
    print(json.dumps({"seconds": seconds, "cpu_seconds": time.process_time()}))


if __name__ == "__main__":
    main(*sys.argv[1:])
