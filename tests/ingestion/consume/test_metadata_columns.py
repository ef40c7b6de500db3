"""Columns of metadata by the real ways in: what each kind has, and the same if read again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import kombu
import pytest
from django.test import Client

from ingestion.connectors.redelivery import Redelivery
from ingestion.connectors.registry import connect
from ingestion.ddl.metadata import wanted
from ingestion.landing import addresses, lookups
from ingestion.models import Column, Source, SpooledEvents, Table
from ingestion.provision import columns_of, provision_table
from ingestion.services import tables
from tenants.models import Tenant
from tenants.services.keys import create_key
from tenants.warehouse import client
from tests.ingestion.running import balance, consume_until, crash_at_insert, error, misfits, numbers


def nullable(name: str, kind: str, metadata: str) -> dict[str, Any]:
    kind = f"Nullable({kind})"
    return {"name": name, "type": kind, "required": False, "metadata": metadata}


COLUMNS = [
    {"name": "n", "type": "UInt32"},
    nullable("key", "String", "key"),
    nullable("topic", "String", "topic"),
    nullable("part", "UInt32", "partition"),
    nullable("place", "Int64", "offset"),
    nullable("at", "DateTime64(3)", "timestamp"),
    nullable("route", "String", "routing_key"),
    nullable("kind", "String", "property:content_type"),
    nullable("trace", "String", "header:trace-id"),
    nullable("attempt", "UInt8", "header:attempt"),
]
READ = "n, key, topic, part, place, route, kind, trace, attempt"
MESSAGES = [b'{"n": 0}', b'{"n": 1}', b'{"n": 2}']


@pytest.fixture
def described(tenant_factory: Callable[..., Tenant], table_factory: Callable[..., Table]) -> Table:
    return table_factory(tenant_factory(), COLUMNS, sorting_key=["n"])


def rows(table: Table, columns: str = READ) -> list[tuple[Any, ...]]:
    sql = f"SELECT {columns} FROM {addresses.place_of(table).table} ORDER BY n"
    return [tuple(row.values()) for row in client.rows(sql)]


def held(table: Table, count: int) -> Callable[[], bool]:
    return lambda: len(numbers(table)) + len(misfits(table)) >= count


def test_a_stream_says_of_its_messages_what_it_has(stream: Any, described: Table) -> None:
    source = stream.source(described)
    stream.send(MESSAGES)
    consume_until(source, held(described, 3))
    assert error(source) == ""
    name, has_offsets = stream.name, stream.has_offsets
    expected: dict[str, tuple[Any, ...]] = {
        "kafka": ("key", name, 0, 2, None, None, None, None),
        "rabbitmq": (None,) * 3
        + (2 if has_offsets else None, name, "application/json", None, None),
        "http": (None, None, None, 2, None, None, None, None),
    }
    assert rows(described)[2] == (2, *expected[stream.kind])
    is_sent_with_a_time = stream.kind != "rabbitmq"
    (same,) = {row[0] for row in rows(described, "ifNull(at = _timestamp, 2)")}
    assert same == (1 if is_sent_with_a_time else 2)
    balance(source)


@pytest.mark.parametrize("stream", ["kafka", "stream", "http"], indirect=True)
def test_a_range_that_is_read_again_has_the_same_metadata(stream: Any, described: Table) -> None:
    source = stream.source(described)
    stream.send(MESSAGES)
    consume_until(source, held(described, 3))
    names = wanted(columns_of(described))
    stream.send(MESSAGES)
    connector = connect(source.connection)
    reader = connector.open(source, {0: 3}, Redelivery(), names)
    read: list[Any] = []
    while sum(one.rows.num_rows for one in read) < 3:
        connector.receive(100)
        read += reader.poll(100)
    again = list(connector.repeat(source, 0, 3, 6, names))
    first, second = (
        [value for one in chunks for value in one.rows["_metadata"].to_pylist()]
        for chunks in (read, again)
    )
    assert first == second
    assert len(first) == 3
    reader.close()
    connector.close()


def test_kafka_headers_by_name_the_last_of_several(topic: Any, described: Table) -> None:
    stream = topic()
    source = stream.source(described)
    every: list[dict[str, Any]] = [
        {"key": "ü", "headers": [("trace-id", b"a"), ("attempt", b"1"), ("trace-id", b"b")]},
        {"key": None, "headers": [("trace-id", None), ("Attempt", b"9")]},
        {"key": b"\xff", "headers": []},
        {"key": b"", "headers": [("attempt", b"300")]},
    ]
    for number, fields in enumerate(every):
        stream.producer.produce(stream.name, b'{"n": %d}' % number, **fields)
    assert stream.producer.flush(120) == 0
    consume_until(source, held(described, 4))
    assert rows(described, "n, key, trace, attempt") == [(0, "ü", "b", 1), (1, None, None, None)]
    found = [(one["reason"], one["column"], one["value"]) for one in misfits(described)]
    assert found == [
        ("wrong_type", "key", '{"base64":"/w=="}'),
        ("out_of_range", "attempt", "300"),
    ]
    assert '"header:attempt":"300"' in misfits(described)[1]["_metadata"]
    balance(source)


def test_rabbitmq_headers_keep_the_type_of_their_sender(queue: Any, described: Table) -> None:
    stream = queue()
    source = stream.source(described)
    headers: list[dict[str, Any]] = [
        {"trace-id": "a", "attempt": 3},
        {"trace-id": 7},
        {"trace-id": "b", "attempt": "4"},
        {"attempt": True},
    ]
    with kombu.Producer(stream.link) as producer:
        for number, each in enumerate(headers):
            producer.publish(b'{"n": %d}' % number, routing_key=stream.name, headers=each)
    consume_until(source, held(described, 4))
    assert rows(described, "n, trace, attempt") == [(0, "a", 3), (2, "b", 4)]
    found = [(one["reason"], one["column"], one["value"]) for one in misfits(described)]
    assert found == [("wrong_type", "trace", "7"), ("wrong_type", "attempt", "true")]
    balance(source)


def test_a_request_has_the_headers_that_its_table_has_columns_for(described: Table) -> None:
    source = Source.objects.create(tenant=described.tenant, name="events", table=described)
    _, key = create_key(source.tenant, "test")
    headers = {
        "Authorization": f"Bearer {key}",
        "Trace-Id": "a-1",
        "X-Other": "private",
        "Idempotency-Key": "1",
    }
    body = b"\n".join(MESSAGES)
    for trace in ("a-1", "a-2"):  # a repetition is the first request, whatever its headers are
        answer = Client().post(
            "/api/v1/events/events",
            body,
            content_type="application/x-ndjson",
            headers=headers | {"Trace-Id": trace},
        )
        assert answer.status_code == 202, answer.content
    assert list(SpooledEvents.objects.values_list("headers", flat=True)) == [
        '{"header:trace-id":"a-1"}'
    ]
    consume_until(source, held(described, 3))
    assert rows(described, "n, place, trace") == [(0, 0, "a-1"), (1, 1, "a-1"), (2, 2, "a-1")]


# One kind for each way to repeat a batch: by offset, by message and from the spool.
@pytest.mark.parametrize("stream", ["kafka", "classic", "http"], indirect=True)
@pytest.mark.parametrize("before", ["with", "without"])
def test_a_batch_that_is_repeated_after_a_change_has_the_metadata_of_its_version(
    before: str,
    stream: Any,
    tenant_factory: Callable[..., Tenant],
    table_factory: Callable[..., Table],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    columns = COLUMNS if before == "with" else COLUMNS[:1]
    table = table_factory(tenant_factory(), columns, sorting_key=["n"])
    source = stream.source(table)
    stream.send(MESSAGES)
    crash_at_insert(source, monkeypatch, lambda sent: sent.slice(0, 1))
    if before == "with":
        table.columns.exclude(name="n").delete()
    else:
        Column.objects.create(table=table, position=9, **COLUMNS[4])
    tables.request_table(table)
    provision_table(table)
    table.refresh_from_db()
    assert table.version == 2, table.error
    stream.send([b'{"n": 3}', b'{"n": -1}'])
    consume_until(source, held(table, 5))
    assert error(source) == ""
    assert numbers(table) == [0, 1, 2, 3]
    (misfit,) = misfits(table)
    if before == "without":
        has_place = {"kafka": "4", "http": "4", "rabbitmq": "null"}[stream.kind]
        assert misfit["_metadata"] == f'{{"offset":{has_place}}}'
    elif stream.has_offsets:
        typed_by_the_first = rows(table, "place")[:3]
        assert typed_by_the_first == [(0,), (1,), (2,)]
    address = addresses.address_of(table)
    tokens = [row["_batch"] for row in client.rows(f"SELECT DISTINCT _batch FROM {address.table}")]
    assert sum(lookups.counts(address, tokens).values()) >= 4
    balance(source)
