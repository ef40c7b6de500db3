"""Messages of about 160 bytes of JSON, and a topic full of them."""

from __future__ import annotations

from collections.abc import Iterator

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

PARTITIONS = 4
_COUNTRIES = ("AT", "BR", "CH", "DE", "FR", "IN", "JP", "US")


def messages(count: int, start: int = 0) -> Iterator[bytes]:
    for number in range(start, start + count):
        second, milli = divmod(number, 1000)
        yield (
            b'{"time":"2026-01-01T%02d:%02d:%02d.%03dZ","id":%d,"user":{"id":%d,"country":"%s"},'
            b'"page":"/products/%d/reviews","amount":%d.%02d,"items":%d,"paid":%s}'
        ) % (
            second // 3600 % 24,
            second // 60 % 60,
            second % 60,
            milli,
            1_000_000_000 + number,
            number * 7919 % 100_000,
            _COUNTRIES[number % 8].encode(),
            number * 31 % 10_000,
            number % 900,
            number % 100,
            number % 9,
            b"true" if number % 3 else b"false",
        )


def make_topic(servers: str, topic: str) -> None:
    admin = AdminClient({"bootstrap.servers": servers})
    for future in admin.create_topics([NewTopic(topic, PARTITIONS, 1)]).values():
        future.result()


def fill(servers: str, topic: str, count: int) -> None:
    """Make the topic and send ``count`` messages to it, evenly over its partitions."""
    make_topic(servers, topic)
    producer = Producer(
        {"bootstrap.servers": servers, "linger.ms": 20, "queue.buffering.max.messages": 1_000_000}
    )
    for number, message in enumerate(messages(count)):
        producer.produce(topic, message, partition=number % PARTITIONS)
        if number % 10_000 == 0:
            producer.poll(0)
    producer.flush()
