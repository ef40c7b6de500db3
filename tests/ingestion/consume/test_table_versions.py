"""A table changes while messages flow: each batch is typed by one version, once and for all."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from ingestion import ddl, versions
from ingestion.batches import announce
from ingestion.batches.batch import Intent, Lease, PendingBatch
from ingestion.consume.recovery import open_batches
from ingestion.errors import TableNotReady
from ingestion.landing import addresses, grouped_insert
from ingestion.landing.grouped_insert import AddressedBatch
from ingestion.leases import lease
from ingestion.models import Batch, Column, Source, StreamPartition, Table, TableVersion
from ingestion.provision import provision_table, spec_of, tidy_table
from ingestion.services import tables
from tenants.models import ProvisionState, Tenant
from tenants.warehouse import client
from tests.ingestion.running import (
    balance,
    consume,
    consume_until,
    crash_at_insert,
    error,
    misfits,
    numbers,
)

COLUMNS = [
    {"name": "n", "type": "UInt32"},
    {"name": "s", "type": "String", "required": False, "default": '""'},
    {"name": "u", "type": "UInt8", "required": False, "default": "0"},
]
#: Half of them have no ``s``.
MESSAGES = [json.dumps({"n": n} | ({"s": "x"} if n % 2 else {})).encode() for n in range(20)]


@pytest.fixture
def wide(tenant_factory: Callable[..., Tenant], table_factory: Callable[..., Table]) -> Table:
    return table_factory(tenant_factory(), COLUMNS, sorting_key=["n"])


def change(table: Table, name: str, **fields: Any) -> Table:
    """Change a column and apply it in ClickHouse; a change that was refused stays requested."""
    Column.objects.filter(table=table, name=name).update(**fields)
    tables.request_table(table)
    provision_table(table)
    table.refresh_from_db()
    return table


def demand_s(table: Table) -> None:
    """Require ``s``, so that a message without it is a misfit from now on."""
    changed = change(table, "s", required=True, default=None)
    assert (changed.version, changed.state) == (2, ProvisionState.READY), changed.error


def insert_past_views(source: Source, rows: Any) -> None:
    """Let an open batch, typed together with others, have landed with these rows."""
    Batch.objects.update(past_views=True)
    batch = Batch.objects.get()
    held = Lease(batch.partition_id, source.pk, 0, "me", batch.epoch)
    pending = PendingBatch(open_batches.intent_of(batch, held), rows)
    if rows.num_rows:
        grouped_insert.insert_one(AddressedBatch(addresses.address_of(source.table), pending))


def has_table(table: Table, name: str) -> bool:
    database = table.tenant.warehouse.database
    return bool(client.rows(f"EXISTS TABLE {database}.{name}")[0]["result"])


def test_a_wish_that_clickhouse_refuses_types_nothing(stream: Any, wide: Table) -> None:
    source = stream.source(wide)
    refused = change(wide, "n", type="String")
    assert (refused.version, refused.state) == (1, ProvisionState.FAILED)
    stream.send([b'{"n": 900.0}', b'{"n": "x5"}'])
    consume_until(source, lambda: len(misfits(wide)) == 1 and numbers(wide) == [900])
    assert [(one["column"], one["expected"]) for one in misfits(wide)] == [("n", "UInt32")]
    assert error(source) == ""
    balance(source)


# One kind for each way to repeat a batch: by offset, by message and from the spool. All kinds run
# in the crashes of test_loop.py and in the chaos case of edited columns.
@pytest.mark.parametrize("stream", ["kafka", "classic", "http"], indirect=True)
@pytest.mark.parametrize("landed", ["all", "some", "none"])
@pytest.mark.parametrize("past_views", [False, True])
def test_a_batch_that_is_repeated_after_a_change_is_typed_as_it_was(
    landed: str, past_views: bool, stream: Any, wide: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = stream.source(wide)
    stream.send(MESSAGES)
    share = {"all": slice(None), "some": slice(0, 7), "none": slice(0, 0)}[landed]
    sent: list[Any] = []

    def lands(rows: Any) -> Any:
        sent.append(rows)
        return None if past_views else rows.slice(share.start or 0, share.stop)

    crash_at_insert(source, monkeypatch, lands)
    if past_views:
        insert_past_views(source, sent[0].slice(share.start or 0, share.stop))
    demand_s(wide)
    consume_until(source, lambda: len(numbers(wide)) + len(misfits(wide)) >= len(MESSAGES))
    assert error(source) == ""
    if stream.has_offsets:
        assert numbers(wide) == list(range(20))
        assert misfits(wide) == []
    else:  # a queue's messages come again, as messages of a batch of their own
        held = [json.loads(one["raw"])["n"] for one in misfits(wide)]
        assert sorted(numbers(wide) + held) == list(range(20))
    balance(source)
    stream.send([b'{"n": 100}', b'{"n": 101, "s": "x"}'])
    consume_until(source, lambda: 101 in numbers(wide))
    assert json.loads(misfits(wide)[-1]["raw"])["n"] == 100, "what comes later has the new version"


def test_rows_of_a_former_version_go_into_a_column_that_was_widened(
    topic: Any, wide: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    kafka = topic()
    source = kafka.source(wide)
    kafka.send([b'{"n": 1, "u": 255}', b'{"n": 2, "u": 256}'])
    crash_at_insert(source, monkeypatch, lambda _: None)
    Batch.objects.update(past_views=True)
    assert change(wide, "u", type="UInt16").version == 2
    consume_until(source, lambda: bool(misfits(wide)))
    assert (numbers(wide, "u"), misfits(wide)[0]["expected"]) == ([255], "UInt8")
    kafka.send([b'{"n": 3, "u": 256}'])
    consume_until(source, lambda: numbers(wide, "u") == [255, 256])


def test_nothing_is_announced_for_a_version_that_another_has_followed(
    topic: Any, wide: Table
) -> None:
    kafka = topic()
    source = kafka.source(wide)
    consume(source, 0.5)
    StreamPartition.objects.filter(source=source).update(position=0)
    (held,) = lease.take(source.connection_id, "me", 1)
    first, second = (
        Intent(held.origin, uuid.uuid4(), 0, 1, 1, 1, 1, table_version=number) for number in (1, 2)
    )
    assert announce.announce("me", {held: first}) == {first.token}
    Batch.objects.all().delete()
    demand_s(wide)
    assert announce.announce("me", {held: first}) == set()
    assert announce.announce("me", {held: second}) == {second.token}


def test_a_slice_under_way_goes_on_with_the_new_version(topic: Any, wide: Table) -> None:
    kafka = topic()
    source = kafka.source(wide)
    kafka.send([b'{"n": 1}'])
    steps = iter([lambda: demand_s(wide), lambda: kafka.send([b'{"n": 2}'])])

    def done() -> bool:
        if len(numbers(wide)) == 1:
            next(steps, lambda: None)()
        return bool(misfits(wide))

    consume_until(source, done)
    assert (numbers(wide), error(source)) == ([1], "")
    assert sorted(set(Batch.objects.values_list("table_version", flat=True))) == [1, 2]


def test_a_former_pipeline_stays_until_no_batch_needs_it(
    topic: Any, wide: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    kafka = topic()
    source = kafka.source(wide)
    kafka.send(MESSAGES)
    crash_at_insert(source, monkeypatch, lambda rows: rows.slice(0, 7))
    demand_s(wide)
    TableVersion.objects.filter(table=wide, number=2).update(
        applied_at=timezone.now() - versions.STAYS - timedelta(seconds=1)
    )
    tidy_table(wide)
    assert has_table(wide, "events__inbox")
    consume_until(source, lambda: len(numbers(wide)) == len(MESSAGES))
    tidy_table(wide)
    assert not has_table(wide, "events__inbox")
    assert has_table(wide, "events__inbox_2")


@pytest.mark.slow
@pytest.mark.parametrize("landed", [0, 7, 20])
@pytest.mark.parametrize("is_known", [True, False])
def test_a_batch_whose_pipeline_is_gone_is_brought_to_its_end(
    landed: int, is_known: bool, topic: Any, wide: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pipeline was dropped too early, or (not ``is_known``) by a release without versions."""
    kafka = topic()
    source = kafka.source(wide)
    kafka.send(MESSAGES)
    crash_at_insert(source, monkeypatch, lambda rows: rows.slice(0, landed))
    demand_s(wide)
    if is_known:
        monkeypatch.setattr(versions, "_is_needed", lambda _: False)
        monkeypatch.setattr(versions, "STAYS", timedelta(0))
        tidy_table(wide)
    else:
        spec = ddl.at_version(spec_of(wide), 1, versions.columns_of(wide, 1))
        client.execute(ddl.drop_pipeline(spec))
        TableVersion.objects.filter(table=wide, number=1).delete()
    assert not has_table(wide, "events__inbox")
    consume_until(source, lambda: len(numbers(wide)) + len(misfits(wide)) == len(MESSAGES))
    assert error(source) == ""
    if is_known:
        assert misfits(wide) == []
    balance(source)
    kafka.send([b'{"n": 100, "s": "x"}'])
    consume_until(source, lambda: 100 in numbers(wide))


def test_a_widened_column_stays_wide_when_a_wish_is_taken_back(wide: Table) -> None:
    database = wide.tenant.warehouse.database
    client.execute([f"ALTER TABLE {database}.events MODIFY COLUMN u UInt16"])
    change(wide, "n", type="String")
    tables.take_back(wide)
    provision_table(wide)
    wide.refresh_from_db()
    assert (wide.state, wide.version) == (ProvisionState.READY, 2), wide.error
    assert wide.columns.get(name="u").type == "UInt16"


def test_a_table_that_clickhouse_has_never_applied_is_not_guessed_at(
    topic: Any, wide: Table
) -> None:
    kafka = topic()
    Table.objects.filter(pk=wide.pk).update(version=0)
    TableVersion.objects.filter(table=wide).delete()
    source: Source = kafka.source(wide)
    kafka.send(MESSAGES)
    with pytest.raises(TableNotReady):
        addresses.address_of(Table.objects.get(pk=wide.pk))
    consume(source)
    assert "has not applied the columns of table events yet" in error(source)
    assert numbers(wide) == []
    tables.request_table(wide)
    provision_table(wide)
    consume_until(source, lambda: len(numbers(wide)) == len(MESSAGES))
