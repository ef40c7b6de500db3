"""Slices from real brokers into the embedded ClickHouse: landing, crashes, redelivery."""

from __future__ import annotations

import socket
import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from ingestion.batches import announce
from ingestion.consume.loop import Slice
from ingestion.consume.scheduling.batch_policy import BatchPolicy
from ingestion.consume.state import SliceState
from ingestion.ddl.spec import DEDUPLICATION_WINDOW
from ingestion.landing import inbox, reinsert
from ingestion.leases import lease, yielding
from ingestion.models import Batch, BatchState, Connection, Source, StreamPartition, Table
from ingestion.monitoring import source_errors
from ingestion.monitoring.source_status import source_status
from tenants.models import Tenant
from tenants.services.warehouses import create_warehouse
from tenants.warehouse import client
from tests.ingestion.running import Crash, consume_until, consume_until_crash

GOOD = [b'{"n": %d, "s": "x%d"}' % (n, n) for n in range(100)]
BAD = [b'{"n": -1}', b'{"s": "no n"}', b'{"n": 1.5}']
POLICY = BatchPolicy(rows=40, bytes=1 << 20, seconds=0.2, held_bytes=1 << 22)


def consume(
    source: Source, seconds: float = 1.3, policy: BatchPolicy = POLICY, **options: Any
) -> Slice:
    made = Slice(source.connection_id, seconds=seconds, policy=policy, **options)
    made.run()
    return made


def rows(table: Table, name: str = "events", columns: str = "n") -> list[Any]:
    sql = f"SELECT {columns} FROM {table.tenant.warehouse.database}.{name} ORDER BY _offset"
    return [tuple(row.values()) for row in client.rows(sql)]


def numbers(table: Table) -> list[int]:
    return sorted(row[0] for row in rows(table))


def partition(source: Source) -> StreamPartition:
    return StreamPartition.objects.get(source=source)


# --- Landing ----------------------------------------------------------------------------------


def test_a_slice_lands_what_fits_and_quarantines_the_rest(stream: Any, table: Table) -> None:
    source = stream.source(table)
    stream.send(GOOD + BAD)
    consume(source)
    assert numbers(table) == list(range(100))
    held = rows(table, "events__quarantine", "raw, column, _offset")
    assert [row[0] for row in held] == [one.decode() for one in BAD]
    assert [row[1] for row in held] == ["n", "n", "n"]
    found = partition(source)
    assert (found.position, found.landed, found.quarantined) == (103, 100, 3)
    assert found.lag == 0
    assert found.lease_owner == ""
    assert set(Batch.objects.values_list("state", flat=True)) == {BatchState.SETTLED}
    assert sum(Batch.objects.values_list("rows", flat=True)) == 103
    source.refresh_from_db()
    assert source.error == ""


@pytest.mark.slow
def test_rows_say_where_they_came_from(stream: Any, table: Table) -> None:
    source = stream.source(table)
    stream.send(GOOD[:3])
    consume(source)
    found = rows(table, columns="_source, _partition, _offset, _batch")
    assert [row[:3] for row in found] == [(source.pk, 0, offset) for offset in range(3)]
    assert {row[3] for row in found} <= set(Batch.objects.values_list("token", flat=True))
    (status,) = source_status(Source.across_tenants.filter(pk=source.pk))
    assert (status.lag, status.landed, status.quarantined) == (0, 3, 0)
    assert status.freshness_seconds is not None
    assert status.freshness_seconds < 60


@pytest.mark.slow
def test_the_next_slice_goes_on_where_the_last_one_ended(stream: Any, table: Table) -> None:
    source = stream.source(table)
    stream.send(GOOD[:50])
    consume(source, 1.5)
    stream.send(GOOD[50:])
    consume(source, 1.5)
    assert numbers(table) == list(range(100))
    assert partition(source).landed == 100


@pytest.mark.slow
def test_start_latest_passes_over_what_was_there(topic: Callable[..., Any], table: Table) -> None:
    stream = topic()
    source = stream.source(table, start="latest")
    stream.send(GOOD[:10])
    consume(source, 0.5)
    stream.send(GOOD[10:13])
    consume(source)
    assert numbers(table) == [10, 11, 12]


@pytest.mark.slow
def test_one_stream_feeds_two_tables(
    topic: Callable[..., Any], table: Table, table_factory: Callable[..., Table]
) -> None:
    stream = topic(2)
    first = stream.source(table)
    other = table_factory(table.tenant, [{"name": "s", "type": "String"}], name="others")
    second = Source.objects.create(
        tenant=table.tenant,
        name="others",
        connection=first.connection,
        stream=stream.name,
        table=other,
    )
    stream.send(GOOD[:50], partition=0)
    stream.send(GOOD[50:], partition=1)
    consume(first)
    assert numbers(table) == list(range(100))
    assert len(rows(other, "others", "s")) == 100
    assert {one.lag for one in StreamPartition.objects.filter(source=second)} == {0}


# --- Pausing and stopping ---------------------------------------------------------------------


@pytest.mark.slow
def test_a_paused_source_is_let_go_within_a_slice(topic: Callable[..., Any], table: Table) -> None:
    stream = topic()
    source = stream.source(table)
    stream.send(GOOD[:5])
    turns = []

    def look() -> bool:
        turns.append(1)
        if numbers(table):
            Source.objects.filter(pk=source.pk).update(active=False)
        return False

    made = Slice(source.connection_id, seconds=30, policy=POLICY, should_stop=look)
    began = timezone.now()
    assert made.run() is False
    assert timezone.now() - began < timedelta(seconds=25)
    assert partition(source).lease_owner == ""
    stream.send(GOOD[5:8])
    consume(source, 1)
    assert numbers(table) == [0, 1, 2, 3, 4]
    Source.objects.filter(pk=source.pk).update(active=True)
    consume(source, 1.5)
    assert numbers(table) == list(range(8))


def test_a_suspended_tenant_is_not_consumed(topic: Callable[..., Any], table: Table) -> None:
    stream = topic()
    source = stream.source(table)
    stream.send(GOOD[:5])
    Tenant.objects.filter(pk=table.tenant_id).update(status="suspended")
    consume(source, 1)
    assert numbers(table) == []
    assert source_status(Source.across_tenants.filter(pk=source.pk))[0].state == "paused"


@pytest.mark.slow
def test_a_worker_that_stops_leaves_nothing_half_done(stream: Any, table: Table) -> None:
    source = stream.source(table)
    stream.send(GOOD)
    stopping = []

    def look() -> bool:
        stopping.append(1)
        return len(stopping) > 8

    consume(source, 30, should_stop=look)
    assert not Batch.objects.filter(state=BatchState.INTENT).exists()
    assert partition(source).lease_owner == ""
    consume(source, 1.5)
    assert numbers(table) == list(range(100))


# --- Crashes ----------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("landed", ["nothing", "a part", "all"])
def test_a_crash_with_an_intent_open_loses_and_doubles_nothing(
    landed: str, stream: Any, table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The owner dies after its intent; its insert has landed not at all, in part, or completely."""
    source = stream.source(table)
    stream.send(GOOD + BAD)
    insert = inbox.insert

    def dies(to: Any, batch: Any, token: Any = None) -> None:
        if landed == "all":
            insert(to, batch, token)
        elif landed == "a part":
            part = type(batch)(batch.intent, batch.rows.slice(0, batch.rows.num_rows // 2))
            insert(to, part, token)
        raise Crash

    with monkeypatch.context() as patched:
        patched.setattr(inbox, "insert", dies)
        # A dead owner stores nothing and releases nothing.
        patched.setattr(SliceState, "leave", lambda *_: (_ for _ in ()).throw(Crash))
        consume_until_crash(source)
    assert Batch.objects.filter(state=BatchState.INTENT).exists()
    StreamPartition.objects.update(lease_expires_at=timezone.now())
    # Only silence shows that a queue has nothing more to deliver again.
    consume(source, 4 if stream.kind == "rabbitmq" else 1.3)
    assert numbers(table) == list(range(100))
    assert len(rows(table, "events__quarantine", "raw")) == 3
    assert not Batch.objects.filter(state=BatchState.INTENT).exists()
    found = partition(source)
    assert (found.landed, found.quarantined) == (100, 3)


@pytest.mark.slow
def test_a_crash_before_the_acknowledgement_doubles_nothing(
    stream: Any, table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = stream.source(table)
    stream.send(GOOD)
    with monkeypatch.context() as patched:
        patched.setattr(
            "ingestion.consume.source_reader.SourceReader.landed",
            lambda *_: (_ for _ in ()).throw(Crash),
        )
        consume_until_crash(source)
    assert Batch.objects.filter(state=BatchState.DONE).exists()
    StreamPartition.objects.update(lease_expires_at=timezone.now())
    consume(source, 4 if stream.kind == "rabbitmq" else 1.3)
    assert numbers(table) == list(range(100))
    found = partition(source)
    assert (found.landed, found.quarantined) == (100, 0)


@pytest.mark.slow
def test_an_intent_older_than_the_window_is_settled_by_the_rows(
    topic: Callable[..., Any], table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ClickHouse has forgotten the token, so the rows in the table decide."""
    stream = topic()
    source = stream.source(table)
    stream.send(GOOD)
    insert = inbox.insert

    def dies(to: Any, batch: Any, token: Any = None) -> None:
        part = type(batch)(batch.intent, batch.rows.slice(5, 10))
        insert(to, part, uuid.uuid4())
        raise Crash

    with monkeypatch.context() as patched:
        patched.setattr(inbox, "insert", dies)
        patched.setattr(SliceState, "leave", lambda *_: (_ for _ in ()).throw(Crash))
        consume_until_crash(source)
    Batch.objects.update(opened_at=timezone.now() - 2 * reinsert.TRUSTED)
    StreamPartition.objects.update(lease_expires_at=timezone.now())
    consume(source, 2)
    assert numbers(table) == list(range(100))


@pytest.mark.slow
@pytest.mark.parametrize("rows_then", [7, 1000])
def test_a_batch_size_changed_between_crash_and_retry_changes_no_count(
    rows_then: int, stream: Any, table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An open batch keeps the range of its intent, even if the setting has changed."""
    source = stream.source(table)
    stream.send(GOOD + BAD)
    insert = inbox.insert

    def lands_and_dies(to: Any, batch: Any, token: Any = None) -> None:
        insert(to, batch, token)
        raise Crash

    with monkeypatch.context() as patched:
        patched.setattr(inbox, "insert", lands_and_dies)
        patched.setattr(SliceState, "leave", lambda *_: (_ for _ in ()).throw(Crash))
        consume_until_crash(source)
    StreamPartition.objects.update(lease_expires_at=timezone.now())
    then = BatchPolicy(rows=rows_then, bytes=1 << 20, seconds=0.05, held_bytes=1 << 22)
    consume(source, 4 if stream.kind == "rabbitmq" else 2, policy=then)
    assert numbers(table) == list(range(100))
    assert len(rows(table, "events__quarantine", "raw")) == 3


def test_a_token_is_trusted_only_for_so_many_inserts(
    topic: Callable[..., Any], table: Table
) -> None:
    """An insert may leave one block in the deduplication window for each partition it touches."""
    stream = topic()
    source = stream.source(table)
    made = StreamPartition.objects.create(source=source, number=0, position=0)
    opened = timezone.now()
    most = DEDUPLICATION_WINDOW // (reinsert.BLOCKS_AN_INSERT * reinsert.INSERTS_A_BATCH)
    Batch.objects.bulk_create(
        Batch(partition=made, from_offset=n, to_offset=n + 1, epoch=1, opened_at=timezone.now())
        for n in range(most - 1)
    )
    assert reinsert.is_remembered(table, opened)
    Batch.objects.create(partition=made, from_offset=most, to_offset=most + 1, epoch=1)
    assert not reinsert.is_remembered(table, opened)


def test_an_owner_whose_epoch_is_stale_can_write_nothing(
    topic: Callable[..., Any], table: Table
) -> None:
    stream = topic()
    source = stream.source(table)
    made = StreamPartition.objects.create(source=source, number=0, position=0)
    (old,) = lease.take(source.connection_id, "old", 1)
    StreamPartition.objects.update(lease_expires_at=timezone.now())
    (new,) = lease.take(source.connection_id, "new", 1)
    assert new.epoch == old.epoch + 1

    mine = announce.Intent(new.origin, uuid.uuid4(), 0, 10, 10, 100, 0)
    assert announce.announce("old", {old: mine}) == set()
    assert announce.announce("new", {new: mine}) == {mine.token}
    assert announce.finish("old", {old: mine}) == set()
    assert announce.finish("old", {new: mine}) == set()
    made.refresh_from_db()
    assert made.position == 0
    assert lease.renew("old", [made.pk]) == set()
    lease.release("old", [made.pk])
    made.refresh_from_db()
    assert made.lease_owner == "new"
    assert announce.finish("new", {new: mine}) == {mine.token}
    made.refresh_from_db()
    assert made.position == 10


def test_two_slices_never_hold_the_same_partition(topic: Callable[..., Any], table: Table) -> None:
    stream = topic(3)
    source = stream.source(table)
    for number in range(3):
        StreamPartition.objects.create(source=source, number=number, position=0)
    first = lease.take(source.connection_id, "a", 2)
    second = lease.take(source.connection_id, "b", 10)
    assert len(first) == 2
    assert len(second) == 1
    assert {one.partition_id for one in first}.isdisjoint(one.partition_id for one in second)


# --- Trouble ----------------------------------------------------------------------------------


@pytest.mark.slow
def test_offsets_that_retention_deleted_are_counted_and_said(
    topic: Callable[..., Any], table: Table
) -> None:
    stream = topic()
    source = stream.source(table)
    stream.send(GOOD[:10])
    consume(source, 1.5)
    stream.send(GOOD[10:20])
    stream.delete_before(15)
    consume(source, 2)
    assert numbers(table) == [*range(10), *range(15, 20)]
    assert partition(source).lost == 5
    source.refresh_from_db()
    assert "the broker had deleted offsets 10 to 14" in source.error


def test_a_source_that_fails_backs_off_alone(
    topic: Callable[..., Any], table: Table, table_factory: Callable[..., Table]
) -> None:
    stream = topic()
    source = stream.source(table)
    broken_table = table_factory(table.tenant, [{"name": "n", "type": "UInt32"}], name="broken")
    broken = Source.objects.create(
        tenant=table.tenant,
        name="broken",
        connection=source.connection,
        stream=stream.name,
        table=broken_table,
    )
    database = table.tenant.warehouse.database
    client.execute([f"DROP TABLE {database}.broken__inbox SYNC"])
    stream.send(GOOD)

    def both() -> bool:
        broken.refresh_from_db()
        return bool(broken.error) and numbers(table) == list(range(100))

    consume_until(source, both)
    source.refresh_from_db()
    assert source.error == ""
    assert "broken__inbox" in broken.error
    assert broken.attempts == 1
    assert broken.error_at is not None
    assert broken.retry_at > broken.error_at
    state = {one.source: one.state for one in source_status(Source.across_tenants.all())}
    assert state["broken"] == "failing"


def test_what_does_not_answer_is_asked_again_within_seconds(
    db: None, unique: Callable[[str], str], caplog: pytest.LogCaptureFixture
) -> None:
    tenant = Tenant.objects.create(slug=unique("away"), name="Away")
    warehouse = create_warehouse(tenant)
    warehouse.applied = 1
    warehouse.save()
    with socket.create_server(("127.0.0.1", 0)) as one:
        closed = one.getsockname()[1]
    on = Connection.objects.create(
        tenant=tenant, name="gone", kind="rabbitmq", addresses=f"127.0.0.1:{closed}"
    )
    source = Source.objects.create(
        tenant=tenant,
        name="events",
        connection=on,
        stream="events",
        table=Table.objects.create(tenant=tenant, name="events", applied=1),
        attempts=20,
    )
    StreamPartition.objects.create(source=source)
    Slice(on.pk, seconds=0.5).run()
    source.refresh_from_db()
    assert "Connection refused" in source.error
    assert source.attempts == 21
    waits = source.retry_at - source.error_at
    assert waits == timedelta(seconds=source_errors.AWAY_RETRY)
    assert source.error in caplog.text
    # The log has a repeated error once, and then the new one.
    caplog.clear()
    source_errors.note(source, source.error)
    assert source.error not in caplog.text
    source_errors.note(source, "Another reason.")
    assert "Another reason." in caplog.text
    source.refresh_from_db()
    assert source.retry_at - source.error_at == timedelta(minutes=1)


@pytest.mark.slow
def test_a_topic_that_is_missing_is_said_and_found_once_it_is_there(
    topic: Callable[..., Any], table: Table, unique: Callable[[str], str]
) -> None:
    stream = topic()
    name = unique("later")
    real, stream.name = stream.name, name
    source = stream.source(table)
    consume(source, 0.5)
    source.refresh_from_db()
    assert f"'{name}'" in source.error
    Source.objects.filter(pk=source.pk).update(retry_at=timezone.now(), stream=real)
    stream.name = real
    stream.send(GOOD[:3])
    source.refresh_from_db()
    consume(source)
    assert numbers(table) == [0, 1, 2]
    source.refresh_from_db()
    assert source.attempts == 0


@pytest.mark.slow
def test_a_poison_message_never_blocks_a_queue(queue: Callable[..., Any], table: Table) -> None:
    stream = queue("quorum")
    source = stream.source(table)
    poison = [b"\x00\xff", b"", b"[" * 5000, b'{"n": ' + b"9" * 5000 + b"}"]
    stream.send([*GOOD[:2], *poison, *GOOD[2:4]])
    consume(source)
    assert numbers(table) == [0, 1, 2, 3]
    assert len(rows(table, "events__quarantine", "raw")) == 4
    assert stream.depth() == 0


@pytest.mark.slow
def test_equal_messages_without_an_id_are_all_kept(queue: Callable[..., Any], table: Table) -> None:
    stream = queue()
    source = stream.source(table)
    stream.send_without_id([b'{"n": 7}'] * 5)
    consume(source)
    assert numbers(table) == [7] * 5


# --- Turns ------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_slice_goes_on_while_it_may(topic: Callable[..., Any], table: Table) -> None:
    stream = topic()
    source = stream.source(table)
    stream.send(GOOD[:1])
    asked: list[int] = []

    def may(sources: Any) -> bool:
        asked.extend(one.pk for one in sources)
        stream.send(GOOD[len(asked) : len(asked) + 1])
        return len(asked) < 3

    consume(source, 0.7, may_go_on=may)
    assert asked == [source.pk] * 3
    assert numbers(table) == [0, 1, 2, 3][: len(numbers(table))]
    assert len(numbers(table)) >= 3
    assert partition(source).epoch == 1


@pytest.fixture
def two(topic: Callable[..., Any], table: Table) -> tuple[Source, Source]:
    """One source that is being read, and one that could be."""
    stream = topic()
    first = stream.source(table)
    second = Source.objects.create(tenant=table.tenant, name="second", table=table)
    future, now = timezone.now() + timedelta(minutes=1), timezone.now()
    StreamPartition.objects.create(source=first, number=0, lease_expires_at=future)
    StreamPartition.objects.create(source=second, number=0, lease_expires_at=now)
    long_ago = now - timedelta(minutes=1)
    Source.objects.update(retry_at=long_ago, created_at=long_ago)
    return Source.objects.select_related("connection").get(pk=first.pk), second


def _waits(source: Source) -> None:
    StreamPartition.objects.filter(source=source).update(
        lease_expires_at=timezone.now() - timedelta(minutes=1)
    )


def test_it_may_go_on_unless_somebody_has_waited_for_a_while(two: tuple[Source, Source]) -> None:
    first, second = two
    assert yielding.may_go_on([first])
    _waits(second)
    assert not yielding.may_go_on([first])


@pytest.mark.parametrize(
    "change",
    [
        {"active": False},
        {"retry_at": timezone.now() + timedelta(days=1)},
    ],
)
def test_what_can_not_be_consumed_does_not_wait(
    change: dict[str, Any], two: tuple[Source, Source]
) -> None:
    first, second = two
    _waits(second)
    Source.objects.filter(pk=second.pk).update(**change)
    assert yielding.may_go_on([first])


def test_a_source_without_partitions_waits_too(two: tuple[Source, Source]) -> None:
    first, second = two
    StreamPartition.objects.filter(source=second).delete()
    assert not yielding.may_go_on([first])


@pytest.mark.parametrize("which", ["source", "connection", "table"])
def test_what_was_changed_is_read_anew(which: str, two: tuple[Source, Source]) -> None:
    first, _ = two
    assert yielding.changed([first]) == set()
    found = Source.objects.get(pk=first.pk)
    assert found.connection is not None
    if which == "table":
        found.table.request()
    else:
        (found if which == "source" else found.connection).save()
    assert yielding.changed([first]) == {first.pk}
