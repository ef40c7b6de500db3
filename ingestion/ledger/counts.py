"""Counts the rows that the table and the quarantine hold in a range of offsets."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ingestion.landing import lookups
from ingestion.landing.addresses import Address
from ingestion.models import StreamPartition
from ingestion.quarantine import moving
from ingestion.quarantine.messages import MANY_KEYS
from tenants.warehouse import client

_WHERE = (
    "_source = {source:UInt64} AND _partition = {partition:UInt32} "
    "AND _offset >= {start:Int64} AND _offset < {end:Int64}"
)

Bound = dict[str, int]


@dataclass(frozen=True, slots=True)
class Held:
    """Rows in table and quarantine, and the number of different offsets among them."""

    inserted: int
    quarantined: int
    offsets: int

    @property
    def rows(self) -> int:
        return self.inserted + self.quarantined


@dataclass(frozen=True, slots=True)
class Digest:
    """A digest of a set of offsets: their number, sum and sum of squares, modulo 2^64.

    It shows that two large sets differ, without moving either of them.
    """

    count: int = 0
    total: int = 0
    squares: int = 0


def _both(address: Address, partition: StreamPartition, start: int, end: int) -> tuple[str, Bound]:
    """The query for both tables' rows of the partition's present incarnation; its parameters."""
    bound = {
        "source": partition.source_id,
        "partition": partition.number,
        "start": start,
        "end": end,
    }
    where = _WHERE + lookups.since(partition.began_at, bound)
    in_table, in_quarantine = moving.conditions(partition.source.table_id)
    # The quarantine first: see lookups.
    return (
        f"SELECT _offset, 1 AS misfit FROM {address.quarantine} WHERE {where}{in_quarantine} "  # noqa: S608 - names of ours
        f"UNION ALL SELECT _offset, 0 FROM {address.table} WHERE {where}{in_table}"
    ), bound


def _ask(
    address: Address, columns: str, partition: StreamPartition, start: int, end: int, rest: str = ""
) -> list[dict[str, int]]:
    both, bound = _both(address, partition, start, end)
    sql = f"SELECT {columns} FROM ({both}) {rest}"  # noqa: S608 - names of ours
    return client.rows(sql, bound, MANY_KEYS)


def held(address: Address, partition: StreamPartition, start: int, end: int) -> Held:
    """Count the rows with offsets in ``[start, end)``; raises WarehouseError."""
    columns = (
        "countIf(misfit = 0) AS inserted, countIf(misfit = 1) AS quarantined, "
        "uniqExact(_offset) AS offsets"
    )
    return Held(**_ask(address, columns, partition, start, end)[0])


def digest(address: Address, partition: StreamPartition, start: int, end: int) -> Digest:
    """The digest of the different offsets that ClickHouse holds; raises WarehouseError."""
    columns = (
        "count() AS count, sum(toUInt64(o)) AS total, sum(toUInt64(o) * toUInt64(o)) AS squares"
    )
    both, bound = _both(address, partition, start, end)
    distinct = f"SELECT DISTINCT _offset AS o FROM ({both})"  # noqa: S608 - names of ours
    rows = client.rows(f"SELECT {columns} FROM ({distinct})", bound, MANY_KEYS)  # noqa: S608
    return Digest(**rows[0])


def offsets(address: Address, partition: StreamPartition, start: int, end: int) -> set[int]:
    """The offsets that ClickHouse holds, for ranges that fit into memory; raises WarehouseError."""
    return {row["_offset"] for row in _ask(address, "DISTINCT _offset", partition, start, end)}


def doubled(address: Address, partition: StreamPartition, start: int, end: int) -> list[int]:
    """The first ten offsets that more than one row has; raises WarehouseError."""
    rest = "GROUP BY _offset HAVING count() > 1 ORDER BY _offset LIMIT 10"
    return [row["_offset"] for row in _ask(address, "_offset", partition, start, end, rest)]


def digest_of(offsets: pa.Array) -> Digest:
    """The digest of an array of different offsets."""
    values = pc.cast(offsets, pa.uint64()).to_numpy(zero_copy_only=False)
    with np.errstate(over="ignore"):
        return Digest(len(values), int(values.sum()), int((values * values).sum()))


def together(first: Digest, second: Digest) -> Digest:
    """The digest of the union of two sets that share no offset."""
    wrap = 1 << 64
    return Digest(
        first.count + second.count,
        (first.total + second.total) % wrap,
        (first.squares + second.squares) % wrap,
    )
