"""What every connector does, each against its real broker."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from ingestion.connectors.base import Connector, Reader, Watermarks
from ingestion.connectors.chunk import SCHEMA, Chunk
from ingestion.connectors.rabbitmq import connector as rabbitmq_connector
from ingestion.connectors.rabbitmq import link
from ingestion.connectors.redelivery import Redelivery
from ingestion.connectors.registry import connect
from ingestion.errors import (
    BrokerUnreachable,
    CannotRepeat,
    ConnectorError,
    OffsetsGone,
    Refused,
    StreamMissing,
)
from ingestion.models import Connection, Source, StreamPartition, Table
from tests.chaos.harness.proxy import Proxy

MESSAGES = [b'{"n": %d}' % n for n in range(10)]


@pytest.fixture
def source(stream: Any, table: Table) -> Source:
    made = stream.source(table)
    # The endpoint's partition is there from its first event on, as consuming makes it.
    StreamPartition.objects.get_or_create(source=made, number=0, defaults={"position": 0})
    return made


@pytest.fixture
def connector(source: Source) -> Any:
    made = connect(source.connection)
    yield made
    made.close()


def poll(connector: Connector, reader: Reader, limit: int) -> list[Chunk]:
    connector.receive(limit)
    return reader.poll(limit)


def read(connector: Connector, reader: Reader, count: int, seconds: float = 15.0) -> list[Chunk]:
    """Chunks with ``count`` messages in all; waits a moment longer for any too many."""
    chunks: list[Chunk] = []
    deadline = time.monotonic() + seconds
    while sum(one.rows.num_rows for one in chunks) < count and time.monotonic() < deadline:
        chunks += poll(connector, reader, 1000)
        time.sleep(0.005)
    until = time.monotonic() + 0.3
    while time.monotonic() < until:
        chunks += poll(connector, reader, 1000)
        time.sleep(0.01)
    return chunks


def raw(chunks: list[Chunk]) -> list[bytes]:
    return [value for one in chunks for value in one.rows["raw"].to_pylist()]


def offsets(chunks: list[Chunk]) -> list[int]:
    return [value for one in chunks for value in one.rows["_offset"].to_pylist()]


def opened(connector: Connector, source: Source, positions: Mapping[int, int]) -> Reader:
    return connector.open(source, positions, Redelivery())


def measured(connector: Connector, source: Source) -> Watermarks:
    found = connector.measure([source])[source.pk]
    assert not isinstance(found, ConnectorError), found
    return found[0]


def await_high(connector: Connector, source: Source, high: int) -> Watermarks:
    deadline = time.monotonic() + 120
    while (marks := measured(connector, source)).high != high and time.monotonic() < deadline:
        time.sleep(0.05)
    return marks


def test_messages_come_in_order_as_the_bytes_that_were_sent(
    stream: Any, source: Source, connector: Connector
) -> None:
    sent = list(MESSAGES)
    if stream.takes_anything:
        sent += [b"", b"\x00\xff\xfe", "ü\n€".encode(), b"not JSON", b'{"n": 1}' + b" " * 200_000]
    stream.send(sent)
    reader = opened(connector, source, {0: 0})
    chunks = read(connector, reader, len(sent))
    assert raw(chunks) == sent
    assert offsets(chunks) == list(range(len(sent)))
    assert chunks[-1].to_offset == len(sent)
    assert all(one.rows.schema == SCHEMA for one in chunks)
    now = time.time() * 1000
    assert all(now - 60_000 < one.newest < now + 60_000 for one in chunks)
    reader.close()


def test_what_was_acknowledged_does_not_come_again(
    stream: Any, source: Source, connector: Connector
) -> None:
    stream.send(MESSAGES)
    reader = opened(connector, source, {0: 0})
    assert raw(read(connector, reader, 10)) == MESSAGES
    reader.acknowledge({0: 10})
    reader.flush()
    reader.close()
    stream.send([b'{"n": 99}'])
    again = opened(connector, source, {0: 10})
    chunks = read(connector, again, 1)
    assert raw(chunks) == [b'{"n": 99}']
    assert offsets(chunks) == [10]
    again.close()


def test_what_was_not_acknowledged_comes_again(
    stream: Any, source: Source, connector: Connector
) -> None:
    stream.send(MESSAGES)
    reader = opened(connector, source, {0: 0})
    assert raw(read(connector, reader, 10)) == MESSAGES
    reader.close()
    again = opened(connector, source, {0: 0})
    assert raw(read(connector, again, 10)) == MESSAGES
    again.close()


def test_a_reader_has_caught_up_in_the_end(
    stream: Any, source: Source, connector: Connector
) -> None:
    stream.send(MESSAGES)
    reader = opened(connector, source, {0: 0})
    read(connector, reader, 10)
    deadline = time.monotonic() + 120
    while not reader.has_caught_up() and time.monotonic() < deadline:
        poll(connector, reader, 10)
        time.sleep(0.05)
    assert reader.has_caught_up()
    reader.close()


def test_an_empty_stream_delivers_nothing_and_does_not_wait(
    stream: Any, source: Source, connector: Connector
) -> None:
    reader = opened(connector, source, {0: 0})
    assert poll(connector, reader, 10) == []
    reader.flush()
    reader.close()


def test_a_range_is_read_again_or_it_is_said_that_it_can_not_be(
    stream: Any, source: Source, connector: Connector
) -> None:
    stream.send(MESSAGES[:5])
    stream.send(MESSAGES[5:])
    await_high(connector, source, 10)
    if not stream.has_offsets:
        with pytest.raises(CannotRepeat, match="no offsets"):
            list(connector.repeat(source, 0, 0, 5))
        return
    # The endpoint's batches end where requests end.
    start, end = 5, 10
    chunks = list(connector.repeat(source, 0, start, end))
    assert raw(chunks) == MESSAGES[start:end]
    assert offsets(chunks) == list(range(start, end))
    assert raw(list(connector.repeat(source, 0, 0, 5))) == MESSAGES[:5]


def test_watermarks_follow_what_is_sent(stream: Any, source: Source, connector: Connector) -> None:
    assert measured(connector, source) == Watermarks(0, 0)
    stream.send(MESSAGES)
    assert await_high(connector, source, 10) == Watermarks(0, 10)


@pytest.mark.parametrize("kind", ["kafka", "rabbitmq"])
def test_a_stream_that_is_missing_is_said_and_hurts_no_other(
    kind: str, request: pytest.FixtureRequest, table: Table
) -> None:
    stream = request.getfixturevalue({"kafka": "topic", "rabbitmq": "queue"}[kind])()
    good = stream.source(table)
    missing = Source.objects.create(
        tenant=table.tenant, name="gone", connection=good.connection, stream="gone-1", table=table
    )
    connector = connect(good.connection)
    found = connector.measure([missing, good])
    assert isinstance(found[missing.pk], StreamMissing)
    assert "'gone-1'" in str(found[missing.pk])
    assert found[good.pk] == {0: Watermarks(0, 0)}
    connector.close()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["kafka", "rabbitmq"])
def test_a_broker_that_is_away_is_said_soon(kind: str, table: Table) -> None:
    away = Connection.objects.create(
        tenant=table.tenant, name="away", kind=kind, addresses="127.0.0.1:9"
    )
    source = Source.objects.create(
        tenant=table.tenant, name="x", connection=away, stream="x", table=table
    )
    connector = connect(away)
    began = time.monotonic()
    with pytest.raises(BrokerUnreachable, match=r"127\.0\.0\.1:9"):
        connector.measure([source])
    assert time.monotonic() - began < 15
    connector.close()


def test_a_wrong_password_is_refused_and_not_shown(queue: Callable[..., Any], table: Table) -> None:
    source = queue().source(table)
    assert source.connection is not None
    source.connection.password = "wrong-and-secret"
    connector = connect(source.connection)
    found = connector.measure([source])[source.pk]
    assert isinstance(found, Refused)
    assert "ACCESS_REFUSED" in str(found)
    assert "wrong-and-secret" not in str(found)
    connector.close()


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("kafka", {"plugin.library.paths": "/opt/x.so"}),
        ("kafka", {"enable.auto.commit": True}),
        ("rabbitmq", {"virtual_host": "/other"}),
    ],
)
def test_options_that_a_connection_may_not_set_are_named(
    kind: str, options: dict[str, Any], table: Table
) -> None:
    connection = Connection.objects.create(
        tenant=table.tenant, name="c", kind=kind, addresses="127.0.0.1:9", options=options
    )
    source = Source.objects.create(
        tenant=table.tenant, name="x", connection=connection, stream="x", table=table
    )
    with pytest.raises(Refused, match=next(iter(options))):
        connect(connection).open(source, {0: 0}, Redelivery())


# --- Kafka alone ------------------------------------------------------------------------------


def test_partitions_are_read_each_from_its_own_position(
    topic: Callable[..., Any], table: Table
) -> None:
    stream = topic(3)
    source = stream.source(table)
    for number in range(3):
        stream.send([b"%d-%d" % (number, n) for n in range(4)], partition=number)
    connector = connect(source.connection)
    found = connector.measure([source])[source.pk]
    assert found == {number: Watermarks(0, 4) for number in range(3)}
    reader = opened(connector, source, {0: 0, 1: 2, 2: 4})
    chunks = read(connector, reader, 6)
    by_number: dict[int, list[bytes]] = {}
    for one in chunks:
        by_number.setdefault(one.number, []).extend(raw([one]))
    assert by_number == {0: [b"0-0", b"0-1", b"0-2", b"0-3"], 1: [b"1-2", b"1-3"]}
    reader.close()
    connector.close()


def test_offsets_that_retention_has_deleted_are_said(
    topic: Callable[..., Any], table: Table
) -> None:
    stream = topic()
    source = stream.source(table)
    stream.send(MESSAGES)
    stream.delete_before(6)
    connector = connect(source.connection)
    assert measured(connector, source) == Watermarks(6, 10)
    with pytest.raises(OffsetsGone) as raised:
        list(connector.repeat(source, 0, 2, 8))
    assert raised.value.low == 6
    reader = opened(connector, source, {0: 2})
    with pytest.raises(OffsetsGone):
        read(connector, reader, 1, seconds=10)
    reader.close()
    connector.close()


@pytest.mark.slow
def test_offsets_that_a_stream_of_rabbitmq_has_deleted_are_said(
    queue: Callable[..., Any], table: Table
) -> None:
    stream = queue("stream", x_max_length_bytes=60_000, x_stream_max_segment_size_bytes=20_000)
    source = stream.source(table)
    connector = connect(source.connection)
    deadline, low = time.monotonic() + 120, 0
    while not low and time.monotonic() < deadline:
        stream.send([b'{"n": %d, "s": "%0200d"}' % (n, n) for n in range(200)])
        stream.depth()
        low = measured(connector, source).low
    assert low > 0
    with pytest.raises(OffsetsGone) as raised:
        list(connector.repeat(source, 0, 0, low + 5))
    # RabbitMQ deletes in the background, a segment after the other, and may be at it still.
    assert low <= raised.value.low <= measured(connector, source).low
    while low != (now := measured(connector, source).low) and time.monotonic() < deadline:
        low = now
        time.sleep(1)
    found = offsets(list(connector.repeat(source, 0, low, low + 5)))
    assert found == list(range(low, low + 5))
    connector.close()


@pytest.mark.slow
def test_a_stream_that_stops_in_mid_range_is_not_taken_for_all_of_it(
    queue: Callable[..., Any], table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To go on without the rest would lose it."""
    monkeypatch.setattr(rabbitmq_connector, "PATIENCE", 2.0)
    monkeypatch.setattr(link, "ANSWER", 2)
    stream = queue("stream")
    source = stream.source(table)
    count = 20_000
    for start in range(0, count, 2_000):
        stream.send([b'{"n": %d}' % n for n in range(start, start + 2_000)])
        stream.depth()
    proxy = Proxy(stream.url.port)
    source.connection.addresses = f"127.0.0.1:{proxy.port}"
    connector = connect(source.connection)
    try:
        again, found = connector.repeat(source, 0, 0, count), list[int]()

        def go_on() -> None:
            for chunk in again:
                found.extend(offsets([chunk]))
                proxy.stall()

        with pytest.raises(BrokerUnreachable, match="Millrace retries"):
            go_on()
        assert found == list(range(len(found)))
        assert 0 < len(found) < count
        proxy.heal()
        assert offsets(list(connector.repeat(source, 0, 0, count))) == list(range(count))
    finally:
        connector.close()
        proxy.close()


def test_positions_are_committed_for_kafkas_tools(topic: Callable[..., Any], table: Table) -> None:
    from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition

    stream = topic()
    source = stream.source(table)
    stream.send(MESSAGES)
    connector = connect(source.connection)
    reader = opened(connector, source, {0: 0})
    read(connector, reader, 10)
    reader.acknowledge({0: 10})
    reader.close()
    connector.close()
    group = f"millrace-{source.tenant.slug}-events"
    asked = stream.admin.list_consumer_group_offsets(
        [ConsumerGroupTopicPartitions(group, [TopicPartition(stream.name, 0)])]
    )
    assert asked[group].result(120).topic_partitions[0].offset == 10


def test_an_aborted_transaction_is_never_delivered(topic: Callable[..., Any], table: Table) -> None:
    from confluent_kafka import Producer

    stream = topic()
    source = stream.source(table)
    producer = Producer({"bootstrap.servers": stream.servers, "transactional.id": stream.name})
    producer.init_transactions(10)
    for body, ends in ((b"lost", producer.abort_transaction), (b"kept", None)):
        producer.begin_transaction()
        producer.produce(stream.name, body, partition=0)
        producer.flush(120)
        (ends or producer.commit_transaction)()
    connector = connect(source.connection)
    reader = opened(connector, source, {0: 0})
    chunks = read(connector, reader, 1)
    assert raw(chunks) == [b"kept"]
    assert offsets(chunks) == [2]  # 0 was aborted, 1 says so
    reader.close()
    connector.close()


# --- Queues alone -----------------------------------------------------------------------------


@pytest.mark.parametrize("queue_type", ["classic", "quorum"])
def test_a_redelivery_that_landed_is_passed_over_and_acknowledged(
    queue_type: str, queue: Callable[..., Any], table: Table
) -> None:
    stream = queue(queue_type)
    source = stream.source(table)
    stream.send(MESSAGES, ids=[f"id-{n}" for n in range(10)])
    connector = connect(source.connection)
    first = opened(connector, source, {0: 0})
    read(connector, first, 10)
    first.close()
    landed = {f"id-{n}" for n in range(6)}
    redelivery = Redelivery(landed=lambda ids: landed & set(ids))
    again = connector.open(source, {0: 6}, redelivery)
    chunks = read(connector, again, 4)
    assert raw(chunks) == MESSAGES[6:]
    assert offsets(chunks) == [6, 7, 8, 9]
    again.acknowledge({0: 10})
    again.flush()
    again.close()
    assert stream.depth() == 0
    connector.close()


@pytest.mark.slow
def test_what_may_come_again_is_remembered_until_the_reader_has_caught_up(
    queue: Callable[..., Any], table: Table
) -> None:
    from collections import Counter

    stream = queue()
    source = stream.source(table)
    stream.send(MESSAGES[:2], ids=["landed", "new"])
    connector = connect(source.connection)
    redelivery = Redelivery(Counter({"landed": 1, "acknowledged": 1}))
    reader = connector.open(source, {0: 1}, redelivery)
    assert raw(read(connector, reader, 1)) == [MESSAGES[1]]
    assert redelivery.unsettled["acknowledged"] == 1
    deadline = time.monotonic() + 120
    while redelivery.unsettled and time.monotonic() < deadline:
        assert poll(connector, reader, 10) == []
        time.sleep(0.05)
    assert not redelivery.unsettled
    stream.send(MESSAGES[2:3], ids=["acknowledged"])
    assert raw(read(connector, reader, 1)) == [MESSAGES[2]]
    reader.close()
    connector.close()
