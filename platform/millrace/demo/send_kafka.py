"""Sends flights to Kafka. Each partition continues where its log ends, so no event goes twice."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator

import pyarrow as pa
from confluent_kafka import (
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    Producer,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from millrace.demo.cast import Airline
from millrace.demo.events import flight_events

_SECONDS = 30


def make_topics(servers: str, airlines: list[tuple[Airline, int]]) -> None:
    """Create the topics that are missing, each with its number of partitions.

    Raises KafkaException.
    """
    admin = AdminClient({"bootstrap.servers": servers})
    topics = [NewTopic(airline.stream, partitions, 1) for airline, partitions in airlines]
    for future in admin.create_topics(topics).values():
        try:
            future.result()
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise


def send(
    servers: str, airline: Airline, partitions: int, rows: pa.Table, confirm: Callable[[int], None]
) -> None:
    """Send the events that the topic lacks.

    ``confirm`` is called with each number of events that the broker has stored. Event ``n`` is in
    partition ``n % partitions`` at offset ``n // partitions``. The producer is idempotent, so at
    any time a partition's log is a prefix of that order, and its end says what to send next.
    """
    producer = _producer(servers)
    ends = _ends(servers, airline.stream, partitions)
    confirm(sum(ends))

    def delivered(error: KafkaError | None, message: Message) -> None:
        if error is not None:
            raise KafkaException(error)
        confirm(1)

    for partition, event in _in_turn(rows, partitions, ends):
        while True:
            try:
                producer.produce(airline.stream, event, partition=partition, on_delivery=delivered)
                break
            except BufferError:
                producer.poll(0.1)
        producer.poll(0)
    while producer.flush(1):
        pass


def _in_turn(rows: pa.Table, partitions: int, ends: list[int]) -> Iterator[tuple[int, bytes]]:
    for partition, end in enumerate(ends):
        for event in flight_events(rows, partition + end * partitions, partitions):
            yield partition, event


def _producer(servers: str) -> Producer:
    return Producer(
        {
            "bootstrap.servers": servers,
            "enable.idempotence": True,
            "linger.ms": 20,
            # In milliseconds. Long enough for a killed broker to come back.
            "message.timeout.ms": 300_000,
            "logger": _silent,
            "log_level": 0,
        }
    )


def _ends(servers: str, topic: str, partitions: int) -> list[int]:
    """How many messages each partition has; waits up to _SECONDS for a broker that is starting."""
    consumer = Consumer(
        {
            "bootstrap.servers": servers,
            "group.id": "millrace-demo",
            "logger": _silent,
            "log_level": 0,
        }
    )
    until = time.monotonic() + _SECONDS
    try:
        while True:
            try:
                places = [TopicPartition(topic, number) for number in range(partitions)]
                return [consumer.get_watermark_offsets(place, timeout=5)[1] for place in places]
            except KafkaException:
                if time.monotonic() > until:
                    raise
                time.sleep(0.5)
    finally:
        consumer.close()


#: A disabled log: librdkafka would write to standard error while the broker is down.
_silent = logging.getLogger("millrace.demo.kafka")
_silent.disabled = True
