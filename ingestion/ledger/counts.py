"""Counts what ClickHouse holds in a range of offsets: rows, misfits and filtered messages."""

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
    """Rows in table and quarantine, filtered messages, and how many different offsets they have."""

    inserted: int
    quarantined: int
    filtered: int
    offsets: int

    @property
    def rows(self) -> int:
        return self.inserted + self.quarantined + self.filtered


@dataclass(frozen=True, slots=True)
class Digest:
    """A digest of a set of offsets: their number, sum and sum of squares, modulo 2^64.

    It shows that two large sets differ, without moving either of them.
    """

    count: int = 0
    total: int = 0
    squares: int = 0


def _both(address: Address, partition: StreamPartition, start: int, end: int) -> tuple[str, Bound]:
    """The query for the rows of the partition's present incarnation; its parameters.

    ``place`` is 0 for the table, 1 for the quarantine, 2 for filtered messages.
    """
    bound = {
        "source": partition.source_id,
        "partition": partition.number,
        "start": start,
        "end": end,
    }
    where = _WHERE + lookups.since(partition.began_at, bound)
    in_table, in_quarantine = moving.conditions(partition.source.table_id)
    # The quarantine first: see lookups.
    places = [(address.quarantine, 1, in_quarantine), (address.table, 0, in_table)]
    if address.filtered:
        places.append((address.filtered, 2, in_table))
    return " UNION ALL ".join(
        f"SELECT _offset, {place} AS place FROM {name} WHERE {where}{more}"  # noqa: S608 - names of ours
        for name, place, more in places
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
        "countIf(place = 0) AS inserted, countIf(place = 1) AS quarantined, "
        "countIf(place = 2) AS filtered, uniqExact(_offset) AS offsets"
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
