"""A stream that was deleted and created again: noticed, named, and read as new after a reset."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from typing import Any

import pytest
from django.core.management import call_command
from django.utils import timezone

from ingestion.batches import compaction as folding
from ingestion.connectors.registry import connect
from ingestion.consume import discovery
from ingestion.leases import lease
from ingestion.models import Batch, FoldedBatches, Source, StreamPartition, Table
from ingestion.services.resets import ResetTarget, Where, preview, reset
from tests.ingestion.running import (
    balance,
    consume,
    consume_until,
    crash_at_insert,
    error,
    numbers,
    partition,
)

START, END = ResetTarget(Where.START), ResetTarget(Where.END)


def messages(start: int, end: int) -> list[bytes]:
    return [b'{"n": %d}' % n for n in range(start, end)]


@pytest.fixture
def stream(topic: Callable[[], Any]) -> Any:
    return topic()


@pytest.fixture
def landed(stream: Any, table: Table) -> Source:
    """A source whose offsets 0 to 49 are in the table."""
    source: Source = stream.source(table)
    stream.send(messages(0, 50))
    consume_until(source, lambda: len(numbers(table)) == 50)
    return source


def measured(source: Source) -> None:
    connector = connect(source.connection)
    discovery.store(connector, [source])
    connector.close()


@pytest.mark.parametrize("count", [20, 50, 80], ids=["shorter", "as long", "longer"])
def test_a_topic_made_again_stops_the_source_however_long_it_is(
    count: int, stream: Any, landed: Source, table: Table
) -> None:
    stream.make_again()
    stream.send(messages(1000, 1000 + count))
    consume(landed)
    said = error(landed)
    assert "deleted and created again" in said
    assert "Reset the source to its start" in said
    assert numbers(table) == list(range(50))  # nothing was read at the old one's offsets
    (told,) = preview(landed, START)
    assert (told.is_new, told.to, told.read_again, told.skipped) == (True, 0, 0, 0)
    reset(landed, START)
    consume_until(landed, lambda: len(numbers(table)) == 50 + count)
    assert numbers(table) == [*range(50), *range(1000, 1000 + count)]
    (found,) = balance(landed)
    assert (found.start, found.end, found.received, found.at_broker) == (0, count, count, count)


def test_what_the_new_one_holds_is_not_taken_for_the_old_ones(
    stream: Any, landed: Source, table: Table
) -> None:
    """After another reset, offsets of the old stream do not count as "already there"."""
    stream.make_again()
    stream.send(messages(1000, 1030))
    reset(landed, END)
    stream.send(messages(1030, 1060))
    consume_until(landed, lambda: len(numbers(table)) == 80)
    reset(landed, START)
    consume_until(landed, lambda: partition(landed).position == 60)
    assert numbers(table) == [*range(50), *range(1000, 1060)]
    reset(landed, START)
    consume_until(landed, lambda: partition(landed).position == 60)
    assert numbers(table) == [*range(50), *range(1000, 1060)]
    out = io.StringIO()
    call_command("ledger", str(landed), stdout=out)
    assert f"The books of {landed} balance." in out.getvalue()


@pytest.mark.slow
def test_books_of_both_are_folded_apart(stream: Any, landed: Source, table: Table) -> None:
    stream.make_again()
    stream.send(messages(1000, 1070))
    reset(landed, START)
    consume_until(landed, lambda: len(numbers(table)) == 120)
    hours = timezone.now() - 3 * folding.KEPT
    Batch.objects.update(state="settled", opened_at=hours, done_at=hours)
    folding.fold()
    found = FoldedBatches.objects.order_by("incarnation")
    assert [(one.incarnation, one.to_offset, one.rows) for one in found] == [
        (0, 50, 50),
        (1, 70, 70),
    ]
    out = io.StringIO()
    since = (hours - folding.KEPT).isoformat()
    call_command("ledger", str(landed), "--since", since, stdout=out)
    assert "balance." in out.getvalue()
    call_command("locate", str(landed), "--partition", "0", "--offset", "60", stdout=out)


def test_measuring_notices_it_and_fences_who_reads(
    stream: Any, landed: Source, table: Table
) -> None:
    (held,) = lease.take(landed.connection_id, "a slice", 1)
    stream.make_again()
    stream.send(messages(1000, 1100))
    measured(landed)
    assert "deleted and created again" in error(landed)
    assert landed.attempts == 1
    assert lease.renew("a slice", [held.partition_id]) == set()
    assert partition(landed).epoch == held.epoch + 1
    measured(landed)
    landed.refresh_from_db()
    assert landed.attempts == 1  # said once


def test_a_topic_of_which_nothing_was_read_yet_is_simply_read(stream: Any, table: Table) -> None:
    source = stream.source(table, start="latest")
    stream.send(messages(0, 10))
    consume(source, 0.3)
    stream.make_again()
    stream.send(messages(1000, 1005))
    consume_until(source, lambda: len(numbers(table)) == 5)
    assert numbers(table) == list(range(1000, 1005))
    assert error(source) == ""
    balance(source)


def test_a_batch_that_was_under_way_ends_with_what_landed_of_it(
    stream: Any, table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = stream.source(table)
    stream.send(messages(0, 30))
    crash_at_insert(source, monkeypatch, lambda rows: rows.slice(0, rows.num_rows // 2))
    batch = Batch.objects.get()
    stream.make_again()
    stream.send(messages(1000, 1100))
    consume(source)
    assert "deleted and created again" in error(source)
    reset(source, START)
    batch.refresh_from_db()
    assert batch.state == "done"
    found = partition(source)
    assert (found.lost, found.incarnation) == (30 - batch.rows, 1)
    consume_until(source, lambda: partition(source).position == 100)
    assert numbers(table) == [*range(batch.rows), *range(1000, 1100)]
    balance(source)


@pytest.mark.slow
def test_partitions_that_the_new_one_has_not_are_retired(
    topic: Callable[..., Any], table: Table
) -> None:
    stream = topic(3)
    source = stream.source(table)
    for number in range(3):
        stream.send(messages(number * 10, number * 10 + 10), partition=number)
    consume_until(source, lambda: len(numbers(table)) == 30)
    stream.make_again(1)
    stream.send(messages(100, 110))
    reset(source, START)
    consume_until(source, lambda: len(numbers(table)) == 40)
    retired = StreamPartition.objects.filter(source=source).exclude(retired_at=None)
    assert sorted(retired.values_list("number", flat=True)) == [1, 2]
    assert len(balance(source)) == 1
    stream.grow(2)
    stream.send(messages(110, 115), partition=1)
    measured(source)
    consume_until(source, lambda: len(numbers(table)) == 45)
    assert partition(source, 1).incarnation == 1
    assert len(balance(source)) == 2


def test_a_topic_that_is_deleted_while_it_is_read_is_said_and_found_again(
    stream: Any, landed: Source, table: Table
) -> None:
    stream.remove()
    consume(landed)
    assert "does not exist" in error(landed)
    assert (landed.retry_at - timezone.now()).total_seconds() < 6
    stream.admin.create_topics([_new(stream)])[stream.name].result(120)
    consume(landed)
    assert "deleted and created again" in error(landed)


def _new(stream: Any) -> Any:
    from confluent_kafka.admin import NewTopic

    return NewTopic(stream.name, 1, 1)


# --- RabbitMQ ---------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_shorter_stream_of_rabbitmq_gives_itself_away(
    queue: Callable[..., Any], table: Table
) -> None:
    stream = queue("stream")
    source = stream.source(table)
    stream.send(messages(0, 50))
    consume_until(source, lambda: len(numbers(table)) == 50)
    stream.channel.queue_delete(stream.name)
    stream.declare({"x-queue-type": "stream"})
    stream.send(messages(1000, 1020))
    consume(source)
    # RabbitMQ may have counted any number of the new queue's messages by then.
    said = r"ends at offset \d+, and 50 were read: it was deleted and created again"
    assert re.search(said, error(source))
    reset(source, START)
    consume_until(source, lambda: len(numbers(table)) == 70)
    assert numbers(table) == [*range(50), *range(1000, 1020)]
    (found,) = balance(source)
    assert found.at_broker == 20


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["classic", "quorum"])
def test_a_queue_made_again_has_no_stale_position(
    kind: str, queue: Callable[..., Any], table: Table
) -> None:
    stream = queue(kind)
    source = stream.source(table)
    stream.send(messages(0, 20))
    consume_until(source, lambda: len(numbers(table)) == 20)
    stream.channel.queue_delete(stream.name)
    consume(source, 0.3)
    assert "does not exist" in error(source)
    stream.declare({"x-queue-type": kind})
    stream.send(messages(20, 30))
    consume_until(source, lambda: len(numbers(table)) == 30)
    assert partition(source).position == 30
    assert source.partitions.get().lag == 0
    balance(source)


@pytest.mark.slow
def test_a_queue_that_is_deleted_while_it_is_consumed_is_said(
    queue: Callable[..., Any], table: Table
) -> None:
    stream = queue("classic")
    source = stream.source(table)
    stream.send(messages(0, 20))
    seen: list[int] = []

    def delete_once_landed() -> bool:
        if not seen and len(numbers(table)) == 20:
            seen.append(1)
            stream.channel.queue_delete(stream.name)
        return False

    consume(source, 30, should_stop=delete_once_landed)
    assert "does not exist" in error(source)
    assert partition(source).lease_owner == ""
    stream.declare({"x-queue-type": "classic"})
    stream.send(messages(20, 40))
    consume_until(source, lambda: len(numbers(table)) == 40)
    balance(source)
