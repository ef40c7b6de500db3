"""A queue's batch that recovery has given up: none of its inserts is stored, by any way in."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pytest

from ingestion.batches.batch import Intent, Origin, PendingBatch
from ingestion.connectors.chunk import chunk
from ingestion.landing import addresses, direct_insert, fence, grouped_insert, inbox, lookups
from ingestion.landing.addresses import Address
from ingestion.landing.fence import Fenced
from ingestion.landing.grouped_insert import AddressedBatch
from ingestion.models import Table
from tenants.models import Tenant
from tenants.warehouse import client

#: Of the usual form, of another, and two that do not fit.
MESSAGES = [b'{"n": 1, "s": "x"}', b'{"n": 2.0, "s": "y"}', b'{"n": -1}', b"{broken"]


def batch_of(messages: list[bytes] = MESSAGES, **more: Any) -> PendingBatch:
    """A queue's batch."""
    size = len(messages)
    rows = pa.Table.from_batches([chunk(0, list(range(size)), [0] * size, messages).rows])
    intent = Intent(Origin(1, 0), uuid.uuid4(), 0, size, size, 1, 1, is_queue=True, **more)
    return PendingBatch(intent, rows)


def grouped(to: Address, batch: PendingBatch) -> int:
    return grouped_insert.insert_one(AddressedBatch(to, batch))


def condemned(to: Address, batch: PendingBatch) -> int:
    inbox.put_aside(to, batch)
    return batch.intent.rows


WAYS = (inbox.insert, grouped, condemned)
BY_NAME = [way.__name__ for way in WAYS]


def stored(to: Address) -> list[list[dict[str, Any]]]:
    """What table and quarantine hold, but for what differs from batch to batch."""
    return [
        client.rows(f"SELECT * EXCEPT (_batch, _ingested_at) FROM {place} ORDER BY _offset")
        for place in (to.table, to.quarantine)
    ]


@pytest.mark.parametrize("way", WAYS, ids=BY_NAME)
def test_an_insert_after_the_fence_stores_nothing(table: Table, way: Callable[..., int]) -> None:
    to, batch = addresses.address_of(table), batch_of()
    fence.put_up(to.leftovers, batch.intent.token)
    with pytest.raises(Fenced, match="delivered the messages of this batch to another worker"):
        way(to, batch)
    assert stored(to) == [[], []]
    # That batch alone: the one in which the messages come again is stored.
    again = batch_of()
    assert way(to, again) == {condemned: 4}.get(way, 2)
    assert len(lookups.held(to, again.intent.token)) == len(MESSAGES)


@pytest.mark.parametrize("way", WAYS, ids=BY_NAME)
def test_a_queues_batch_is_stored_as_a_streams_is(
    tenant_factory: Callable[..., Tenant],
    table_factory: Callable[..., Table],
    way: Callable[..., int],
) -> None:
    columns = [{"name": "n", "type": "UInt32"}, {"name": "s", "type": "String"}]
    queue, stream = (
        addresses.address_of(table_factory(tenant_factory(), columns)) for _ in range(2)
    )
    batch = batch_of()
    misfits = way(queue, batch)
    is_stream = replace(batch, intent=replace(batch.intent, is_queue=False))
    assert way(stream, is_stream) == misfits
    assert stored(queue) == stored(stream)
    # A worker repeats an insert whose reply was lost.
    for _ in range(2):
        way(queue, batch)
    assert stored(queue) == stored(stream)


def test_what_the_views_left_over_stays_outside_too(
    table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    to, batch = addresses.address_of(table), batch_of()
    typed = direct_insert.type_rest

    def overtaken(*of: Any, **more: Any) -> Any:
        fence.put_up(to.leftovers, batch.intent.token)
        return typed(*of, **more)

    monkeypatch.setattr(direct_insert, "type_rest", overtaken)
    with pytest.raises(Fenced):
        inbox.insert(to, batch)
    # The queue delivers the other three again; recovery has counted this one.
    assert lookups.held(to, batch.intent.token) == [0]


def test_a_stream_with_offsets_looks_at_no_fence(table: Table) -> None:
    """Whoever reads its range again inserts it under the same token."""
    to, batch = addresses.address_of(table), batch_of()
    batch = replace(batch, intent=replace(batch.intent, is_queue=False))
    fence.put_up(to.leftovers, batch.intent.token)
    assert inbox.insert(to, batch) == 2


@pytest.mark.slow
def test_a_wide_table_takes_a_queues_batch(
    tenant_factory: Callable[..., Tenant], table_factory: Callable[..., Table]
) -> None:
    """Its statement is too long for a URL, and for one field of a form."""
    columns = [{"name": f"column_{n}_{'x' * 40}", "type": "Int64"} for n in range(500)]
    to = addresses.address_of(table_factory(tenant_factory(), columns))
    message = json.dumps({one["name"]: n for n, one in enumerate(columns)})
    assert grouped(to, batch_of([message.encode()] * 2)) == 0
    assert [row[columns[499]["name"]] for row in stored(to)[0]] == [499, 499]
