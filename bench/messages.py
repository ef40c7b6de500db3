"""Makes JSON messages of about 160 bytes, and fills topics with them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

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


def batched(items: Iterable[str], size: int) -> Iterator[list[str]]:
    """``itertools.batched``, which Python 3.11 lacks."""
    rest = iter(items)
    while batch := list(islice(rest, size)):
        yield batch


def make_topics(
    servers: str, topics: Iterable[str], partitions: int = PARTITIONS, **config: str
) -> None:
    """Create topics. ``config`` has their settings, with ``_`` for the dots of Kafka's names."""
    named = {name.replace("_", "."): value for name, value in config.items()}
    admin = AdminClient({"bootstrap.servers": servers})
    for names in batched(topics, 100):
        new = [NewTopic(topic, partitions, 1, config=named) for topic in names]
        for future in admin.create_topics(new, operation_timeout=60).values():
            future.result()


def fill(servers: str, topic: str, bodies: Iterable[bytes], partitions: int = PARTITIONS) -> None:
    """Send messages to an existing topic, evenly over its partitions."""
    producer = Producer(
        {
            "bootstrap.servers": servers,
            "linger.ms": 20,
            "queue.buffering.max.messages": 1_000_000,
            "message.max.bytes": 32 << 20,
        }
    )
    for number, message in enumerate(bodies):
        while True:
            try:
                producer.produce(topic, message, partition=number % partitions)
                break
            except BufferError:
                producer.poll(0.1)
        if number % 10_000 == 0:
            producer.poll(0)
    producer.flush()
