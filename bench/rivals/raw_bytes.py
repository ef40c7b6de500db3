"""Joins raw bytes into JSONEachRow inserts, in one thread that waits for each insert.

``python -m bench.rivals.raw_bytes SERVERS TOPIC URL TABLE N [AGE]``: runs until N rows have landed.
With AGE, it also inserts every AGE seconds.
"""

from __future__ import annotations

import json
import sys
import time

import clickhouse_connect
from confluent_kafka import Consumer, TopicPartition

from bench.messages import PARTITIONS

BATCH = 50_000


def main(servers: str, topic: str, url: str, table: str, count: str, age: str = "60") -> None:
    consumer = Consumer(
        {
            "bootstrap.servers": servers,
            "group.id": "raw-bytes",
            "enable.auto.commit": False,
            "fetch.queue.backoff.ms": 5,
            "queued.min.messages": 500_000,
            "fetch.message.max.bytes": 8 << 20,
        }
    )
    consumer.assign([TopicPartition(topic, number, 0) for number in range(PARTITIONS)])
    client = clickhouse_connect.get_client(
        dsn=url, compress=False, settings={"input_format_skip_unknown_fields": 1}
    )
    started, landed, held, cut = 0.0, 0, [], time.perf_counter()
    while landed < int(count):
        messages = consumer.consume(10_000, timeout=0.05)
        started = started or (time.perf_counter() if messages else 0.0)
        held += [message.value() for message in messages]
        old = held and time.perf_counter() - cut >= float(age)
        if old or len(held) >= BATCH or landed + len(held) >= int(count):
            client.raw_insert(table, insert_block=b"\n".join(held), fmt="JSONEachRow")
            consumer.commit(asynchronous=True)
            landed, held, cut = landed + len(held), [], time.perf_counter()
    seconds = time.perf_counter() - started
    consumer.close()
    print(json.dumps({"seconds": seconds, "cpu_seconds": time.process_time()}))


if __name__ == "__main__":
    main(*sys.argv[1:])
