"""What the table and the quarantine hold of a range of offsets."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ingestion.landing import lookups
from ingestion.landing.addresses import Address
from ingestion.models import StreamPartition
from tenants.warehouse import client

_WHERE = (
    "_source = {source:UInt64} AND _partition = {partition:UInt32} "
    "AND _offset >= {start:Int64} AND _offset < {end:Int64}"
)

Bound = dict[str, int]


@dataclass(frozen=True, slots=True)
class Held:
    """Rows in table and quarantine, and how many offsets these have among them."""

    inserted: int
    quarantined: int
    offsets: int

    @property
    def rows(self) -> int:
        return self.inserted + self.quarantined


@dataclass(frozen=True, slots=True)
class Digest:
    """Of a set of offsets: how many, their sum and the sum of their squares, modulo 2^64."""

    count: int = 0
    total: int = 0
    squares: int = 0


def _both(at: Address, partition: StreamPartition, start: int, end: int) -> tuple[str, Bound]:
    """Of the partition's present incarnation."""
    bound = {
        "source": partition.source_id,
        "partition": partition.number,
        "start": start,
        "end": end,
    }
    where = _WHERE + lookups.since(partition.began_at, bound)
    return (
        f"SELECT _offset, 0 AS misfit FROM {at.table} WHERE {where} "  # noqa: S608 - names of ours
        f"UNION ALL SELECT _offset, 1 FROM {at.quarantine} WHERE {where}"
    ), bound


def _ask(
    at: Address, columns: str, partition: StreamPartition, start: int, end: int, rest: str = ""
) -> list[dict[str, int]]:
    both, bound = _both(at, partition, start, end)
    sql = f"SELECT {columns} FROM ({both}) {rest}"  # noqa: S608 - names of ours
    return client.rows(sql, bound)


def held(at: Address, partition: StreamPartition, start: int, end: int) -> Held:
    """Count ``[start, end)``; raises WarehouseError."""
    columns = (
        "countIf(misfit = 0) AS inserted, countIf(misfit = 1) AS quarantined, "
        "uniqExact(_offset) AS offsets"
    )
    return Held(**_ask(at, columns, partition, start, end)[0])


def digest(at: Address, partition: StreamPartition, start: int, end: int) -> Digest:
    """Of the offsets that are there, each once; raises WarehouseError."""
    columns = (
        "count() AS count, sum(toUInt64(o)) AS total, sum(toUInt64(o) * toUInt64(o)) AS squares"
    )
    both, bound = _both(at, partition, start, end)
    distinct = f"SELECT DISTINCT _offset AS o FROM ({both})"  # noqa: S608 - names of ours
    found = client.rows(f"SELECT {columns} FROM ({distinct})", bound)  # noqa: S608
    return Digest(**found[0])


def offsets(at: Address, partition: StreamPartition, start: int, end: int) -> set[int]:
    """The offsets that are there; for ranges that fit into memory. Raises WarehouseError."""
    return {row["_offset"] for row in _ask(at, "DISTINCT _offset", partition, start, end)}


def doubled(at: Address, partition: StreamPartition, start: int, end: int) -> list[int]:
    """The first offsets that more than one row has; raises WarehouseError."""
    rest = "GROUP BY _offset HAVING count() > 1 ORDER BY _offset LIMIT 10"
    return [row["_offset"] for row in _ask(at, "_offset", partition, start, end, rest)]


def digest_of(found: pa.Array) -> Digest:
    """The digest of an array of offsets."""
    values = pc.cast(found, pa.uint64()).to_numpy(zero_copy_only=False)
    with np.errstate(over="ignore"):
        return Digest(len(values), int(values.sum()), int((values * values).sum()))


def together(one: Digest, other: Digest) -> Digest:
    """Of two sets that share nothing."""
    wrap = 1 << 64
    return Digest(
        one.count + other.count,
        (one.total + other.total) % wrap,
        (one.squares + other.squares) % wrap,
    )
