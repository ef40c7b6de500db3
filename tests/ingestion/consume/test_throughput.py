"""What landed by the minute: exact sums, ages, lag in messages and seconds, on real brokers."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, TopicPartition
from django.utils import timezone

from ingestion.batches import settle
from ingestion.batches.batch import BatchStats
from ingestion.consume.discovery import measure_connection, note_lag
from ingestion.consume.loop import Slice
from ingestion.consume.scheduling.batch_policy import BatchPolicy
from ingestion.landing import addresses
from ingestion.landing.tally import counted
from ingestion.models import Batch, Source, SourceMinute, StreamPartition, Table
from ingestion.monitoring import throughput
from ingestion.monitoring.source_status import SourceStatus, source_status

# Each test consumes for a second or more.
pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("within_a_minute")]

GOOD = [b'{"n": %d}' % n for n in range(100)]
BAD = [b'{"n": -1}'] * 7
POLICY = BatchPolicy(rows=40, bytes=1 << 20, seconds=0.2, held_bytes=1 << 22)


def consume(source: Source, rows: int) -> None:
    """Consume until so many rows have landed; a loaded machine needs several slices."""
    deadline = time.monotonic() + 120
    while True:
        Slice(source.connection_id, seconds=1.3, policy=POLICY).run()
        if summed(source)[0] >= rows:
            return
        assert time.monotonic() < deadline, summed(source)


def status(source: Source) -> SourceStatus:
    return source_status(Source.across_tenants.filter(pk=source.pk))[0]


def summed(source: Source) -> tuple[int, int, int]:
    rows = SourceMinute.objects.filter(source=source)
    return (
        sum(one.rows for one in rows),
        sum(one.quarantined for one in rows),
        sum(one.bytes for one in rows),
    )


def test_minutes_add_up_to_what_the_partitions_have(stream: Any, table: Table) -> None:
    source = stream.source(table)
    stream.send(GOOD)
    consume(source, 100)
    stream.send(BAD)
    consume(source, 107)
    found = StreamPartition.objects.get(source=source)
    assert summed(source) == (107, 7, found.bytes)
    assert found.landed == 100


def test_events_are_as_old_as_their_timestamps_say(stream: Any, table: Table) -> None:
    source = stream.source(table)
    stream.send(GOOD)
    consume(source, 100)
    counts = [one.ages for one in SourceMinute.objects.filter(source=source)]
    assert sum(map(sum, counts)) == 100
    found = status(source)
    assert found.freshness_p50 is not None
    assert found.freshness_p95 is not None
    # No message is older than the test, which includes the slice's second.
    assert 0 < found.freshness_p50 <= found.freshness_p95 < 60
    assert found.events_per_second > 0
    assert found.bytes_per_second > found.events_per_second


def test_old_events_are_told_from_fresh_ones(topic: Callable[..., Any], table: Table) -> None:
    stream = topic()
    source = stream.source(table)
    hour_ago = int((timezone.now() - timedelta(hours=1)).timestamp() * 1000)
    for message in GOOD[:90]:
        stream.producer.produce(stream.name, message, timestamp=hour_ago)
    stream.send(GOOD[90:])
    consume(source, 100)
    found = status(source)
    assert found.freshness_p50 is not None
    assert 1800 <= found.freshness_p50 <= 10_800


def test_a_rate_is_over_the_minutes_that_there_were(db: None, table: Table) -> None:
    now = timezone.now().replace(second=30, microsecond=0)
    source = Source.objects.create(tenant=table.tenant, name="old", table=table)
    Source.objects.filter(pk=source.pk).update(created_at=now - timedelta(days=1))
    minute = now.replace(second=0, microsecond=0)
    for back, rows in ((0, 300), (4, 2400), (5, 10**9)):
        SourceMinute.objects.create(
            source=source, began_at=minute - timedelta(minutes=back), rows=rows, bytes=rows * 10
        )
    (found,) = source_status(Source.across_tenants.filter(pk=source.pk), now=now)
    assert found.events_per_second == pytest.approx(2700 / 270)
    assert found.bytes_per_second == pytest.approx(27_000 / 270)
    Source.objects.filter(pk=source.pk).update(created_at=now - timedelta(seconds=100))
    (found,) = source_status(Source.across_tenants.filter(pk=source.pk), now=now)
    assert found.events_per_second == pytest.approx(2700 / 100)


def test_batches_are_counted_by_one_statement_and_once(
    table: Table, django_assert_num_queries: Any
) -> None:
    source = Source.objects.create(tenant=table.tenant, name="many", table=table)
    parts = [StreamPartition.objects.create(source=source, number=n) for n in range(3)]
    done_at = timezone.now() - timedelta(minutes=1)
    batches = [
        Batch.objects.create(
            partition=parts[number % 3],
            from_offset=number,
            to_offset=number + 1,
            epoch=1,
            rows=10,
            bytes=100,
            state="done",
            done_at=done_at + timedelta(minutes=number % 2),
        )
        for number in range(12)
    ]
    Source.objects.filter(pk=source.pk).update(counted_from=done_at - timedelta(hours=1))
    at = addresses.address_of(table)
    # The ages of the last batch's rows are unknown.
    counts = {one.token: BatchStats([10] + [0] * 25) for one in batches[:-1]}
    counts[batches[-1].token] = BatchStats()
    for _ in range(2):
        found = counted(at, counts)
        with django_assert_num_queries(1):
            settle.close(found)
    first, second = SourceMinute.objects.filter(source=source).order_by("began_at")
    assert (first.rows, second.rows, first.bytes) == (60, 60, 600)
    assert (first.ages[0], second.ages[0]) == (60, 50)
    assert (second.began_at - first.began_at) == timedelta(minutes=1)
    assert sum(one.landed for one in StreamPartition.objects.filter(source=source)) == 120


def test_what_is_done_after_a_resumption_begins_a_row_of_its_own(table: Table) -> None:
    source = Source.objects.create(tenant=table.tenant, name="resumed", table=table)
    part = StreamPartition.objects.create(source=source)
    resumed = timezone.now().replace(second=30, microsecond=0)
    Source.objects.filter(pk=source.pk).update(counted_from=resumed)
    batches = [
        Batch.objects.create(
            partition=part,
            from_offset=seconds,
            to_offset=seconds,
            epoch=1,
            rows=rows,
            state="done",
            done_at=resumed + timedelta(seconds=seconds - 30),
        )
        for seconds, rows in ((29, 1), (30, 2), (59, 4), (61, 8))
    ]
    settle.close({one.token: BatchStats() for one in batches})
    found = SourceMinute.objects.filter(source=source).order_by("began_at")
    minute = resumed.replace(second=0)
    assert list(found.values_list("began_at", "rows")) == [
        (minute, 1),
        (resumed, 6),
        (minute + timedelta(minutes=1), 8),
    ]


# --- Lag --------------------------------------------------------------------------------------


def kafka_lag(stream: Any, source: Source) -> int:
    """The lag that ``kafka-consumer-groups.sh --describe`` prints: log end less committed."""
    group = f"millrace-{source.tenant.slug}-{source.name}"
    (asked,) = stream.admin.list_consumer_group_offsets(
        [ConsumerGroupTopicPartitions(group)]
    ).values()
    committed = {one.partition: one.offset for one in asked.result(120).topic_partitions}
    reader = Consumer({"bootstrap.servers": stream.servers, "group.id": "lag-of-test"})
    try:
        return sum(
            reader.get_watermark_offsets(TopicPartition(stream.name, number), timeout=10)[1]
            - committed[number]
            for number in range(stream.partitions)
        )
    finally:
        reader.close()


def test_kafkas_own_tools_show_the_same_lag(topic: Callable[..., Any], table: Table) -> None:
    stream = topic(2)
    source = stream.source(table)
    stream.send(GOOD[:60], partition=0)
    stream.send(GOOD[60:], partition=1)
    consume(source, 100)
    measure_connection(source.connection_id)
    assert (status(source).lag, kafka_lag(stream, source)) == (0, 0)
    stream.send(GOOD[:30], partition=1)
    measure_connection(source.connection_id)
    assert (status(source).lag, kafka_lag(stream, source)) == (30, 30)
    consume(source, 130)
    assert (status(source).lag, kafka_lag(stream, source)) == (0, 0)


def test_lag_in_seconds_grows_from_when_nothing_waited(
    topic: Callable[..., Any], table: Table
) -> None:
    stream = topic()
    source = stream.source(table)
    old = int((timezone.now() - timedelta(hours=3)).timestamp() * 1000)
    stream.producer.produce(stream.name, GOOD[0], timestamp=old)
    stream.send(())
    consume(source, 1)
    measure_connection(source.connection_id)
    assert status(source).lag_seconds == 0
    stream.send(GOOD[1:3])
    measure_connection(source.connection_id)
    later = timezone.now() + timedelta(seconds=100)
    (found,) = source_status(Source.across_tenants.filter(pk=source.pk), now=later)
    # Not three hours, because nothing waited at the broker a moment ago.
    assert found.lag == 2
    assert found.lag_seconds is not None
    assert 100 <= found.lag_seconds < 130


def test_of_what_never_landed_nobody_knows_how_long_it_waits(
    topic: Callable[..., Any], table: Table
) -> None:
    stream = topic()
    source = stream.source(table)
    stream.send(GOOD[:5])
    measure_connection(source.connection_id)
    found = status(source)
    assert (found.lag, found.lag_seconds) == (5, None)


def test_what_waits_for_a_paused_source_is_measured(
    topic: Callable[..., Any], table: Table
) -> None:
    stream = topic()
    source = stream.source(table, active=False)
    stream.send(GOOD[:5])
    measure_connection(source.connection_id)
    assert status(source).lag == 5


def test_events_by_http_wait_from_their_receipt(table: Table) -> None:
    from ingestion.services.events import accept

    source = Source.objects.create(tenant=table.tenant, name="http", table=table)
    accept(source, [b'{"n": 1}'])
    accept(source, [b'{"n": 2}'])
    (found,) = source_status(
        Source.across_tenants.filter(pk=source.pk), now=timezone.now() + timedelta(seconds=50)
    )
    assert found.lag == 2
    assert found.lag_seconds is not None
    assert 50 <= found.lag_seconds < 80


def test_the_history_keeps_the_largest_lag_of_a_minute(
    topic: Callable[..., Any], table: Table
) -> None:
    stream = topic()
    source = stream.source(table)
    other = Source.objects.create(tenant=table.tenant, name="idle", table=table)
    stream.send(GOOD[:5])
    measure_connection(source.connection_id)
    note_lag()
    consume(source, 5)
    note_lag()
    found = throughput.minutes(source, timedelta(minutes=3), timezone.now())
    assert max(one.lag for one in found) == 5
    assert sum(one.rows for one in found) == 5
    assert not SourceMinute.objects.filter(source=other).exists()


def test_every_minute_is_there_whether_or_not_something_landed(table: Table) -> None:
    source = Source.objects.create(tenant=table.tenant, name="gaps", table=table)
    now = timezone.now().replace(second=59)
    minute = now.replace(second=0, microsecond=0)
    ages = [0] * 26
    for seconds, rows in ((0, 1), (20, 2), (-120, 4)):
        SourceMinute.objects.create(
            source=source, began_at=minute + timedelta(seconds=seconds), rows=rows, ages=ages
        )
    found = throughput.minutes(source, timedelta(minutes=4), now)
    assert [one.rows for one in found] == [0, 4, 0, 3]
    assert found[-1].began_at == minute


def test_old_minutes_are_pruned_those_of_deleted_sources_too(table: Table) -> None:
    source = Source.objects.create(tenant=table.tenant, name="gone", table=table)
    now = timezone.now()
    for at in (now, now - throughput.KEPT - timedelta(minutes=1)):
        SourceMinute.objects.create(source=source, began_at=at)
    assert throughput.prune() == 1
    source.delete()
    SourceMinute.objects.update(began_at=now - throughput.KEPT - timedelta(minutes=1))
    assert throughput.prune() == 1
