"""Unusual Kafka messages: none is lost, and none holds up the messages behind it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import Producer
from django.utils import timezone

from ingestion.landing import addresses
from ingestion.models import Source, Table
from ingestion.monitoring.source_status import source_status
from tenants.warehouse import client
from tests.ingestion.running import (
    balance,
    consume_until,
    crash_at_insert,
    error,
    misfits,
    numbers,
    partition,
)


def send(stream: Any, value: bytes | None, **options: Any) -> None:
    producer = options.pop("producer", stream.producer)
    producer.produce(stream.name, value, partition=0, **options)
    assert producer.flush(120) == 0


def producer(stream: Any, **options: Any) -> Producer:
    settings = {name.replace("_", "."): value for name, value in options.items()}
    return Producer({"bootstrap.servers": stream.servers} | settings)


def test_tombstones_empty_values_and_keys_of_any_bytes(
    topic: Callable[..., Any], table: Table
) -> None:
    stream = topic()
    source = stream.source(table)
    send(stream, None, key=b"gone")
    send(stream, b"", key=None)
    send(stream, b'{"n": 1}', key=b"\xff\xfe\x00")
    send(stream, b'{"n": 2}', key=b"")
    consume_until(source, lambda: partition(source).position == 4)
    assert numbers(table) == [1, 2]
    assert [(row["_offset"], row["raw"]) for row in misfits(table)] == [(0, ""), (1, "")]
    assert all(row["reason"] for row in misfits(table))
    balance(source)


@pytest.mark.slow
def test_messages_of_10_mb(
    topic: Callable[..., Any], table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = topic(max_message_bytes="20000000")
    source = stream.source(table)
    large = producer(stream, message_max_bytes=20_000_000)
    size = 10 * 1024 * 1024
    send(stream, b'{"n": 1}')
    send(stream, b'{"n": 2, "s": "%s"}' % (b"x" * size), producer=large)
    send(stream, b'{"n": "%s"}' % (b"y" * size), producer=large)
    send(stream, b'{"n": 3}')
    crash_at_insert(source, monkeypatch)
    consume_until(source, lambda: partition(source).position == 4)
    assert numbers(table) == [1, 2, 3]
    assert numbers(table, "length(s)") == [0, 0, size]
    assert [len(row["raw"]) for row in misfits(table)] == [size + len('{"n": ""}')]
    balance(source)


def test_compressed_topics(topic: Callable[..., Any], table: Table) -> None:
    stream = topic()
    source = stream.source(table)
    kinds = ["none", "gzip", "snappy", "lz4", "zstd"]
    for place, kind in enumerate(kinds):
        one = producer(stream, compression_type=kind, linger_ms=50)
        for number in range(place * 100, place * 100 + 100):
            one.produce(stream.name, b'{"n": %d, "s": "%s"}' % (number, b"z" * 200), partition=0)
        assert one.flush(120) == 0
    consume_until(source, lambda: partition(source).position == 500)
    assert numbers(table) == list(range(500))
    balance(source)


FAR = str(2**63 - 1)


@pytest.mark.parametrize(
    "timestamp",
    [1, 2**45, 2**62],
    ids=["1970", "the year 3084", "beyond all years"],
)
def test_times_that_a_sender_made_up_hold_nothing_up(
    timestamp: int, topic: Callable[..., Any], table: Table
) -> None:
    stream = topic(message_timestamp_after_max_ms=FAR, message_timestamp_before_max_ms=FAR)
    source = stream.source(table)
    send(stream, b'{"n": 1}', timestamp=timestamp)
    send(stream, b'{"n": 2}')
    consume_until(source, lambda: partition(source).position == 2)
    assert numbers(table) == [1, 2]
    newest = partition(source).last_event_at
    assert newest is not None
    assert newest <= timezone.now()
    (status,) = source_status(Source.across_tenants.filter(pk=source.pk))
    assert (status.lag, error(source)) == (0, "")
    assert status.freshness_seconds is not None
    balance(source)


def test_times_that_the_broker_gives(topic: Callable[..., Any], table: Table) -> None:
    stream = topic(message_timestamp_type="LogAppendTime")
    source = stream.source(table)
    send(stream, b'{"n": 1}', timestamp=1)
    consume_until(source, lambda: partition(source).position == 1)
    place = addresses.place_of(table).table
    sql = f"SELECT dateDiff('second', _timestamp, now64(3)) AS age FROM {place}"
    assert abs(client.rows(sql)[0]["age"]) < 600
    balance(source)


@pytest.mark.slow
def test_a_compacted_topic_has_holes_that_are_none_of_the_books(
    topic: Callable[..., Any], table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = topic(
        cleanup_policy="compact",
        segment_ms="100",
        min_cleanable_dirty_ratio="0.01",
        max_compaction_lag_ms="100",
    )
    source = stream.source(table)
    for number in range(100):
        stream.producer.produce(
            stream.name, b'{"n": %d}' % number, key=b"%d" % (number % 7), partition=0
        )
    assert stream.producer.flush(120) == 0
    time.sleep(0.2)
    send(stream, b'{"n": 100}', key=b"last")  # rolls the segment
    from ingestion.connectors.registry import connect

    connector = connect(source.connection)
    deadline = time.monotonic() + 120
    while True:
        left = sum(one.rows.num_rows for one in connector.repeat(source, 0, 0, 101))
        if left < 101:
            break
        assert time.monotonic() < deadline, "It was never compacted."
        time.sleep(1)
    connector.close()
    crash_at_insert(source, monkeypatch, lambda rows: rows.slice(0, 3))
    consume_until(source, lambda: partition(source).position == 101)
    assert numbers(table) == list(range(93, 101))
    (found,) = balance(source)
    assert (found.received, found.at_broker, found.end) == (8, 8, 101)
