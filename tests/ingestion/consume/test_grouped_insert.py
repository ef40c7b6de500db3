"""Small batches of like tables, typed by one query: the rows that the views make, once each."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from threading import Event, Timer
from typing import Any

import pyarrow as pa
import pytest
from django.utils import timezone

from ingestion.batches.batch import Intent, Origin, PendingBatch
from ingestion.connectors.chunk import chunk
from ingestion.consume.loop import Slice
from ingestion.consume.scheduling import insert_slots
from ingestion.consume.scheduling.batch_policy import BatchPolicy
from ingestion.consume.state import SliceState
from ingestion.consume.steps import announce, poll
from ingestion.landing import addresses, direct_insert, grouped_insert, inbox
from ingestion.landing.grouped_insert import AddressedBatch
from ingestion.models import Batch, BatchState, Source, StreamPartition, Table
from tenants.models import Tenant
from tenants.warehouse import client
from tenants.warehouse.errors import WarehouseError

GOOD = [b'{"n": %d, "s": "x%d"}' % (n, n) for n in range(30)]
BAD = [b'{"n": -1}', b"{broken"]
POLICY = BatchPolicy(rows=1000, bytes=1 << 20, seconds=0.3, held_bytes=1 << 22)
TYPES = {
    "i": "Int64",
    "u": "UInt8",
    "f": "Float64",
    "d": "Decimal(18, 4)",
    "b": "Bool",
    "l": "LowCardinality(String)",
    "x": "FixedString(3)",
    "e": "Enum8('open' = 1, 'closed' = 2)",
    "g": "UUID",
    "v4": "IPv4",
    "v6": "IPv6",
    "day": "Date",
    "t": "DateTime('Europe/Berlin')",
    "t6": "DateTime64(6, 'UTC')",
    "o": "Nullable(Int32)",
    "a": "Array(Nullable(Int16))",
    "m": "Map(String, UInt32)",
    "w": "UInt256",
}
ALL = (
    b'{"i":-5,"u":200,"f":1.5,"d":12.25,"b":true,"l":"low","x":"abc","e":"closed",'
    b'"g":"8c3f5d0e-6c1f-4f0e-9f5a-0d3c0a7f9b11","v4":"10.1.2.3","v6":"fe80::1",'
    b'"day":"2026-02-28","t":"2026-07-01 12:00:00","t6":"2026-07-01T12:00:00.123456Z",'
    b'"o":null,"a":[1,null,3],"m":{"k":7},"w":123456789012345678901234567890}'
)


def batch_of(messages: list[bytes], token: uuid.UUID | None = None) -> PendingBatch:
    made = chunk(0, list(range(len(messages))), [1_700_000_000_000] * len(messages), messages)
    rows = pa.Table.from_batches([made.rows])
    size = len(messages)
    intent = Intent(Origin(1, 0), token or uuid.uuid4(), 0, size, size, 1, 1, past_views=True)
    return PendingBatch(intent, rows)


def rows(table: Table, name: str = "events") -> list[tuple[Any, ...]]:
    sql = (
        "SELECT * EXCEPT (_batch, _ingested_at) FROM "
        f"{table.tenant.warehouse.database}.{name} ORDER BY _offset"
    )
    return [tuple(row.values()) for row in client.rows(sql)]


@pytest.mark.slow
def test_a_row_of_every_type_is_the_same_as_through_the_views(
    tenant_factory: Callable[..., Tenant], table_factory: Callable[..., Table]
) -> None:
    columns = [{"name": name, "type": kind} for name, kind in TYPES.items()]
    viewed = table_factory(tenant_factory(), columns)
    typed = table_factory(tenant_factory(), columns)
    messages = [ALL, ALL.replace(b"200", b"300"), b"[1]", b"\xff", ALL.replace(b"-5", b"7")]
    inbox.insert(addresses.address_of(viewed), batch_of(messages))
    assert (
        grouped_insert.insert_one(AddressedBatch(addresses.address_of(typed), batch_of(messages)))
        == 3
    )
    assert len(rows(typed)) == 2
    assert rows(typed) == rows(viewed)
    assert rows(typed, "events__quarantine") == rows(viewed, "events__quarantine")


def test_a_batch_that_is_repeated_counts_once(table: Table) -> None:
    again = batch_of([*GOOD, *BAD])
    member = AddressedBatch(addresses.address_of(table), again)
    for _ in range(3):
        assert grouped_insert.insert_one(member) == len(BAD)
    assert len(rows(table)) == len(GOOD)
    assert len(rows(table, "events__quarantine")) == len(BAD)


def test_a_column_that_has_another_type_by_now_refuses_the_rows(table: Table) -> None:
    now = addresses.address_of(table)
    n, *others = now.columns
    before = replace(now, columns=(replace(n, type="UInt64"), *others))
    with pytest.raises(WarehouseError, match="Type of 'n' must be UInt32, not UInt64"):
        grouped_insert.insert_one(AddressedBatch(before, batch_of(GOOD)))
    assert rows(table) == []
    assert grouped_insert.insert_one(AddressedBatch(now, batch_of(GOOD))) == 0
    assert len(rows(table)) == len(GOOD)


def test_one_table_that_fails_hurts_no_other(
    tenant_factory: Callable[..., Tenant], table_factory: Callable[..., Table]
) -> None:
    columns = [{"name": "n", "type": "UInt32"}]
    good, broken = (table_factory(tenant_factory(), columns) for _ in range(2))
    client.execute([f"DROP TABLE {broken.tenant.warehouse.database}.events SYNC"])
    done = grouped_insert.insert(
        [AddressedBatch(addresses.address_of(one), batch_of(GOOD)) for one in (broken, good)]
    )
    assert isinstance(done[0], WarehouseError)
    assert done[1] == 0
    assert len(rows(good)) == len(GOOD)


def test_of_one_insert_the_smallest_batch_lands_first(
    tenant_factory: Callable[..., Tenant],
    table_factory: Callable[..., Table],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    columns = [{"name": "n", "type": "UInt32"}]
    tables = [table_factory(tenant_factory(), columns) for _ in range(3)]
    batches = [GOOD[:20] + BAD, GOOD[:1], GOOD]
    land, landed = direct_insert.land, list[int]()

    def noted(to: Any, found: Any, *of: Any, **more: Any) -> None:
        landed.append(len(found.good))
        land(to, found, *of, **more)

    monkeypatch.setattr(direct_insert, "land", noted)
    members = [
        AddressedBatch(addresses.address_of(one), batch_of(batch))
        for one, batch in zip(tables, batches, strict=True)
    ]
    assert grouped_insert.insert(members) == [len(BAD), 0, 0]
    assert landed == [1, 20, 30]
    assert [len(rows(one)) for one in tables] == [20, 1, 30]


# --- In a slice ---------------------------------------------------------------------------------


@pytest.fixture
def many(
    topic: Callable[..., Any],
    tenant_factory: Callable[..., Tenant],
    table_factory: Callable[..., Table],
) -> list[tuple[Any, Source]]:
    """Sources of several tenants on one connection, each with a topic of its own."""
    columns = [{"name": "n", "type": "UInt32"}, {"name": "s", "type": "String"}]
    made: list[tuple[Any, Source]] = []
    for _ in range(4):
        stream = topic()
        source = stream.source(table_factory(tenant_factory(), columns))
        if made:
            source.connection = made[0][1].connection
            source.connection.tenant = None
            source.connection.save()
            source.save()
        made.append((stream, source))
    return made


def land(made: list[tuple[Any, Source]], seconds: float = 2.5) -> None:
    Slice(made[0][1].connection_id, seconds=seconds, policy=POLICY).run()


@pytest.mark.slow
def test_the_batches_of_many_tenants_land_together(many: list[tuple[Any, Source]]) -> None:
    for stream, _ in many:
        stream.send(GOOD + BAD)
    land(many)
    assert Batch.objects.filter(past_views=True).exists()
    for _, source in many:
        assert len(rows(source.table)) == len(GOOD)
        assert len(rows(source.table, "events__quarantine")) == len(BAD)
        found = StreamPartition.objects.get(source=source)
        assert (found.landed, found.quarantined) == (len(GOOD), len(BAD))
    assert set(Batch.objects.values_list("state", flat=True)) == {BatchState.SETTLED}


@pytest.mark.slow
def test_what_came_since_the_last_pull_goes_along(
    many: list[tuple[Any, Source]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many sources are polled rarely: here never again, after the first ten."""
    for step in (poll, announce):
        monkeypatch.setattr(step, "MANY", len(many))
    pull, announce_due = poll.run, announce.run
    polled, sent_at = list[int](), list[float]()

    def first(state: SliceState, now: float) -> None:
        if sent_at:
            return
        pull(state, now)
        polled.append(state.progress)
        if sum(polled) == 10 * len(many):
            for stream, _ in many:
                stream.send(GOOD[10:])
            sent_at.append(state.clock())

    def later(state: SliceState, now: float) -> None:
        """Nothing is due until the other messages have had a second to come."""
        is_time = sent_at and now > sent_at[0] + 1
        announce_due(state, now + POLICY.seconds if is_time else state.turn_began_at - 600)

    monkeypatch.setattr(poll, "run", first)
    monkeypatch.setattr(announce, "run", later)
    for stream, _ in many:
        stream.send(GOOD[:10])
    Slice(many[0][1].connection_id, seconds=30.0, policy=POLICY).run()
    assert sum(polled) == 10 * len(many)
    assert list(Batch.objects.values_list("rows", flat=True)) == [len(GOOD)] * len(many)


@pytest.mark.slow
def test_small_batches_wait_for_the_older_ones_of_another_slice(
    many: list[tuple[Any, Source]],
) -> None:
    for stream, _ in many:
        stream.send(GOOD)
    shared, other, ended = insert_slots.of(many[0][1].connection_id), Event(), list[datetime]()
    assert all(shared.take(other, 0.0) for _ in range(insert_slots.NUMBER))

    def end() -> None:
        ended.append(timezone.now())
        shared.forget(other)

    timer = Timer(3.0, end)
    timer.start()
    land(many, 1.5)
    timer.join()
    for _, source in many:
        assert len(rows(source.table)) == len(GOOD)
    assert Batch.objects.filter(past_views=True).exists()
    # The slice went on beyond its time, to land the messages that it had read.
    assert not Batch.objects.filter(past_views=True, opened_at__lt=ended[0]).exists()


class Crash(BaseException):
    """What ``kill -9`` looks like from within."""


@pytest.mark.slow
@pytest.mark.parametrize("landed", ["nothing", "some", "all"])
def test_a_crash_among_them_loses_and_doubles_nothing(
    landed: str, many: list[tuple[Any, Source]], monkeypatch: pytest.MonkeyPatch
) -> None:
    for stream, _ in many:
        stream.send(GOOD + BAD)
    insert = grouped_insert.insert

    def dies(members: Any) -> Any:
        count = {"nothing": 0, "some": 1, "all": len(members)}[landed]
        if count:
            insert(members[:count])
        raise Crash

    with monkeypatch.context() as patched:
        patched.setattr(grouped_insert, "insert", dies)
        patched.setattr(SliceState, "leave", lambda *_: (_ for _ in ()).throw(Crash))
        with pytest.raises(Crash):
            land(many, 10)
    assert Batch.objects.filter(state=BatchState.INTENT, past_views=True).exists()
    StreamPartition.objects.update(lease_expires_at=timezone.now())
    land(many)
    for _, source in many:
        assert len(rows(source.table)) == len(GOOD)
        assert len(rows(source.table, "events__quarantine")) == len(BAD)
    assert not Batch.objects.filter(state=BatchState.INTENT).exists()
