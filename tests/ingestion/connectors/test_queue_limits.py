"""RabbitMQ: prefetch is bounded, redeliveries are counted, others' exclusive queues are refused."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from ingestion.connectors.redelivery import Redelivery
from ingestion.connectors.registry import connect
from ingestion.consume.discovery import measure_connection
from ingestion.consume.scheduling.batch_policy import BatchPolicy
from ingestion.errors import Refused
from ingestion.models import Batch, Connection, Table
from tenants.warehouse import client
from tenants.warehouse.errors import WarehouseUnreachable
from tests.ingestion.running import (
    balance,
    consume,
    consume_until,
    crash_at_insert,
    error,
    numbers,
    partition,
)


def messages(start: int, end: int) -> list[bytes]:
    return [b'{"n": %d}' % n for n in range(start, end)]


# --- Prefetch ---------------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["100", 0, -1, 1.5, True, None, 65_536, [1]])
def test_a_prefetch_that_is_no_number_of_messages_is_said_at_the_source(
    value: Any, queue: Callable[..., Any], table: Table
) -> None:
    source = queue().source(table)
    Connection.objects.filter(pk=source.connection_id).update(options={"prefetch": value})
    consume(source, 0.3)
    assert f"sets prefetch to {value!r}" in error(source)
    assert "from 1 to 65535" in source.error


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["classic", "quorum", "stream"])
def test_no_more_than_the_prefetch_is_held_of_a_large_backlog(
    kind: str, queue: Callable[..., Any], table: Table
) -> None:
    stream = queue(kind)
    source = stream.source(table)
    Connection.objects.update(options={"prefetch": 500})
    source.refresh_from_db()
    backlog = 20_000 if kind == "classic" else 5_000
    _publish(stream, backlog)
    connector = connect(source.connection)
    reader = connector.open(source, {0: 0}, Redelivery())
    held = sum(one.rows.num_rows for one in reader.poll(backlog))
    until = time.monotonic() + 2
    while time.monotonic() < until:
        held += sum(one.rows.num_rows for one in reader.poll(backlog))
    # A stream sends whole chunks of its log, of about a thousand messages at most.
    assert 500 <= held <= (4_500 if kind == "stream" else 500)
    reader.acknowledge({0: held})
    before, until = held, time.monotonic() + 20
    while held < before + 500 and time.monotonic() < until:
        held += sum(one.rows.num_rows for one in reader.poll(backlog))
    assert before + 500 <= held <= before + (4_500 if kind == "stream" else 500)
    reader.close()
    connector.close()


@pytest.mark.slow
def test_half_of_the_prefetch_is_a_batch_however_long_the_pace_would_wait(
    queue: Callable[..., Any], table: Table
) -> None:
    stream = queue()
    source = stream.source(table)
    Connection.objects.update(options={"prefetch": 2_000})
    source.refresh_from_db()
    _publish(stream, 4_000)
    patient = BatchPolicy(rows=100_000, bytes=1 << 30, seconds=600.0, held_bytes=1 << 30)
    consume(source, 5.0, patient)
    assert numbers(table) == list(range(4_000))
    # The last one is cut by the end of the slice; without the others the broker would send no more.
    *batches, _ = Batch.objects.filter(partition__source=source).order_by("from_offset")
    assert batches
    assert all(1_000 <= one.rows <= 2_000 for one in batches)


def _publish(stream: Any, count: int) -> None:
    for start in range(0, count, 2_000):
        stream.send(messages(start, start + 2_000))
        stream.depth()  # the broker's answer paces the sender
    deadline = time.monotonic() + 120
    while stream.depth() < count and time.monotonic() < deadline:
        time.sleep(0.1)


# --- Delivery limits --------------------------------------------------------------------------


def delivery_count(stream: Any) -> int | None:
    """Of the first message: how often the broker says that it has come back."""
    message = stream.channel.basic_get(stream.name)
    stream.channel.basic_reject(message.delivery_tag, requeue=True)
    found: int | None = (message.headers or {}).get("x-delivery-count")
    return found


@pytest.mark.slow
def test_what_a_crash_delivers_again_is_counted_by_the_broker_and_lands_once(
    queue: Callable[..., Any], table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = queue("quorum", x_delivery_limit=20)
    source = stream.source(table)
    stream.send(messages(0, 30))
    crash_at_insert(source, monkeypatch)
    _await_return(stream, 30)
    assert delivery_count(stream) == 1
    consume_until(source, lambda: partition(source).position == 30 and stream.depth() == 0)
    assert numbers(table) == list(range(30))
    balance(source)


def _await_return(stream: Any, count: int) -> None:
    deadline = time.monotonic() + 120
    while stream.depth() < count:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_an_outage_of_clickhouse_uses_up_no_deliveries(
    queue: Callable[..., Any], table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = queue("quorum", x_delivery_limit=2)
    source = stream.source(table)
    stream.send(messages(0, 10))
    with monkeypatch.context() as patched:
        _take_away(patched)
        for _ in range(4):
            consume(source, 0.5)
            assert "127.0.0.1:9" in error(source)
    consume_until(source, lambda: len(numbers(table)) == 10)
    assert numbers(table) == list(range(10))


def _take_away(patched: pytest.MonkeyPatch) -> None:
    def away(*_: Any, **__: Any) -> Any:
        msg = "ClickHouse at 127.0.0.1:9 does not answer."
        raise WarehouseUnreachable(msg)

    patched.setattr(client, "admin", away)
    patched.setattr(client, "rows", away)


@pytest.mark.slow
def test_beyond_its_limit_a_message_goes_where_the_queue_says(
    queue: Callable[..., Any], table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RabbitMQ itself gives up on it: a queue with a limit needs a dead letter exchange."""
    dead = queue()
    stream = queue(
        "quorum",
        x_delivery_limit=1,
        x_dead_letter_exchange="",
        x_dead_letter_routing_key=dead.name,
    )
    source = stream.source(table)
    stream.send(messages(0, 5))
    deadline = time.monotonic() + 120
    while dead.depth() < 5:
        assert time.monotonic() < deadline
        if stream.depth() == 5:
            crash_at_insert(source, monkeypatch, lambda _: None)
        time.sleep(0.2)
    assert (stream.depth(), dead.depth()) == (0, 5)
    consume(source, 0.5)
    assert numbers(table) == []


# --- Somebody else's --------------------------------------------------------------------------


def _ignore(_: Any) -> None:
    """A consumer that holds what it gets."""


def test_a_queue_that_another_consumer_has_to_itself_is_refused(
    queue: Callable[..., Any], table: Table
) -> None:
    stream = queue()
    source = stream.source(table)
    stream.send(messages(0, 3))
    stream.channel.basic_consume(stream.name, consumer_tag="mine", exclusive=True, callback=_ignore)
    consume(source, 0.5)
    assert "in exclusive use" in error(source)
    assert f"'{stream.name}'" in source.error
    stream.channel.basic_cancel("mine")
    stream.channel.basic_recover(requeue=True)
    consume_until(source, lambda: len(numbers(table)) == 3)


def test_a_queue_of_another_connection_alone_is_refused(
    queue: Callable[..., Any], table: Table, unique: Callable[[str], str]
) -> None:
    stream = queue()
    name = unique("exclusive")
    stream.channel.queue_declare(name, exclusive=True, auto_delete=False)
    source = stream.source(table)
    source.stream = name
    source.save()
    connector = connect(source.connection)
    found = connector.measure([source])[source.pk]
    assert isinstance(found, Refused)
    assert "exclusive" in str(found)
    connector.close()


def test_behind_another_single_active_consumer_it_waits(
    queue: Callable[..., Any], table: Table
) -> None:
    stream = queue("classic", x_single_active_consumer=True)
    source = stream.source(table)
    stream.channel.basic_qos(0, 1, False)
    stream.channel.basic_consume(stream.name, consumer_tag="mine", callback=_ignore)
    stream.send(messages(0, 5))
    consume(source, 0.7)
    assert (numbers(table), error(source)) == ([], "")
    measure_connection(source.connection_id)
    assert partition(source).lag == 4  # the other has one in hand
    stream.channel.basic_cancel("mine")
    stream.channel.basic_recover(requeue=True)
    consume_until(source, lambda: len(numbers(table)) == 5)
    balance(source)
