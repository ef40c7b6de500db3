"""A batch in 200 partitions of its table and of a rollup behind it, when it is repeated."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from ingestion.landing import addresses, lookups, reinsert
from ingestion.models import Batch, Source, Table
from tenants.models import Tenant
from tenants.warehouse import client
from tests.ingestion.running import (
    balance,
    consume_until,
    crash_at_insert,
    numbers,
    partition,
)

ROWS = 1000
PARTITIONS = 200


@pytest.fixture
def wide(tenant_factory: Callable[..., Tenant], table_factory: Callable[..., Table]) -> Table:
    """A table of 200 partitions, with a rollup that a user has added, of as many."""
    columns = [{"name": "n", "type": "UInt32"}]
    table = table_factory(
        tenant_factory(), columns, sorting_key=["n"], partition_key=f"n % {PARTITIONS}"
    )
    database = table.tenant.warehouse.database
    totals = (
        f"CREATE TABLE {database}.totals (k UInt32, rows UInt64, total UInt64) "
        f"ENGINE = SummingMergeTree ORDER BY k PARTITION BY k % {PARTITIONS} "
        "SETTINGS non_replicated_deduplication_window = 10000"
    )
    view = (
        f"CREATE MATERIALIZED VIEW {database}.totals_view TO {database}.totals AS "
        f"SELECT n % {PARTITIONS} AS k, count() AS rows, sum(n) AS total "
        f"FROM {database}.events GROUP BY k"
    )
    client.execute([totals, view])
    return table


@pytest.fixture
def source(topic: Callable[[], Any], wide: Table) -> Source:
    stream = topic()
    made: Source = stream.source(wide)
    stream.send([b'{"n": %d}' % n for n in range(ROWS)])
    return made


def totals(table: Table) -> tuple[int, int]:
    database = table.tenant.warehouse.database
    found = client.rows(f"SELECT sum(rows) AS r, sum(total) AS n FROM {database}.totals")[0]
    return found["r"], found["n"]


def kept(table: Table) -> int:
    sql = f"SELECT uniqExact(n % {PARTITIONS}) AS c FROM {addresses.address_of(table).table}"
    found: int = client.rows(sql)[0]["c"]
    return found


@pytest.mark.slow
@pytest.mark.parametrize("landed", ["nothing", "all"])
def test_a_repeated_batch_counts_once_in_table_and_rollup(
    landed: str, source: Source, wide: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    crash_at_insert(source, monkeypatch, lambda rows: rows if landed == "all" else None)
    assert Batch.objects.get().state == "intent"
    for _ in range(2):
        consume_until(source, lambda: partition(source).position == ROWS)
    assert numbers(wide) == list(range(ROWS))
    assert totals(wide) == (ROWS, sum(range(ROWS)))
    assert kept(wide) == PARTITIONS
    balance(source)


@pytest.mark.slow
def test_a_batch_that_landed_in_some_partitions_alone_is_completed(
    source: Source, wide: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a kill during an insert leaves: some partitions of the batch whole, others absent."""
    crash_at_insert(source, monkeypatch)
    at = addresses.address_of(wide)
    for value in range(0, PARTITIONS, 2):
        client.execute([f"ALTER TABLE {at.table} DROP PARTITION {value}"])
    there = numbers(wide)
    assert 0 < len(there) < ROWS
    consume_until(source, lambda: partition(source).position == ROWS)
    assert numbers(wide) == list(range(ROWS))
    balance(source)


@pytest.mark.slow
def test_many_partitions_use_the_window_up_sooner(source: Source, wide: Table) -> None:
    """Each partition that an insert touches takes a block of the deduplication window."""
    consume_until(source, lambda: partition(source).position == ROWS)
    assert lookups.most_partitions(wide) == PARTITIONS
    opened = timezone.now() - timedelta(minutes=5)
    made = Batch.objects.first()
    assert made is not None
    Batch.objects.update(opened_at=timezone.now())
    assert reinsert.is_remembered(wide, opened)
    Batch.objects.bulk_create(
        Batch(partition=made.partition, from_offset=0, to_offset=0, epoch=1, state="done")
        for _ in range(60)
    )
    assert not reinsert.is_remembered(wide, opened)
