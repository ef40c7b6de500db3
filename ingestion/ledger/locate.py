"""From a message to its row or its quarantine entry, and from a row to its message."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ingestion.connectors.registry import connect
from ingestion.errors import ConnectorError
from ingestion.landing import addresses
from ingestion.landing.addresses import Address
from ingestion.models import Batch, FoldedBatches, Gap, Source, StreamPartition
from tenants.warehouse import client

#: Rows that one search shows at most.
SHOWN = 10


@dataclass(frozen=True, slots=True)
class Found:
    """One row: of the table, or, with ``is_misfit``, of the quarantine; as the engine has it."""

    is_misfit: bool
    values: dict[str, Any]

    @property
    def offset(self) -> int:
        return int(self.values["_offset"])

    @property
    def batch(self) -> str:
        return str(self.values["_batch"])


@dataclass(slots=True)
class Location:
    """Where a message is. ``message``: as the broker has it, None where it can't tell.

    ``notes`` say what the ledger knows: the batch, a gap, that its turn has not come.
    """

    rows: list[Found] = field(default_factory=list)
    message: bytes | None = None
    notes: list[str] = field(default_factory=list)


def by_offset(source: Source, number: int, offset: int) -> Location:
    """Look a message up by partition and offset; raises WarehouseError."""
    at = addresses.place_of(source.table)
    rows = list(
        _rows(at, source, "_partition = {n:UInt32} AND _offset = {o:Int64}", n=number, o=offset)
    )
    partition = source.partitions.filter(number=number).first()
    notes = (
        [f"There is no partition {number}."]
        if partition is None
        else list(_notes(partition, offset, is_there=bool(rows)))
    )
    return Location(rows, _message(source, number, offset), notes)


def by_id(source: Source, message_id: str) -> Location:
    """Look a message of a queue up by the id that its sender gave; raises WarehouseError."""
    at = addresses.place_of(source.table)
    rows = list(_rows(at, source, "_message_id = {id:String}", id=message_id))
    notes = [] if rows else ["No row of this source has this message id."]
    for one in rows:
        partition = source.partitions.filter(number=one.values["_partition"]).first()
        if partition is not None:
            notes += _notes(partition, one.offset, is_there=True)
    return Location(rows, None, notes)


def _rows(at: Address, source: Source, condition: str, **bound: Any) -> Iterator[Found]:
    for place, is_misfit in ((at.table, False), (at.quarantine, True)):
        sql = (
            f"SELECT * FROM {place} "  # noqa: S608 - names of ours
            f"WHERE _source = {{source:UInt64}} AND {condition} LIMIT {SHOWN}"
        )
        for values in client.rows(sql, {"source": source.pk, **bound}):
            yield Found(is_misfit, values)


def _notes(partition: StreamPartition, offset: int, *, is_there: bool) -> Iterator[str]:
    within = {"from_offset__lte": offset, "to_offset__gt": offset}
    for one in Batch.across_tenants.filter(partition=partition, **within).order_by("pk"):
        was = _of(one, partition)
        yield f"Batch {one.token}: offsets [{one.from_offset}, {one.to_offset}), {one.state}{was}."
    for many in FoldedBatches.across_tenants.filter(partition=partition, **within).order_by("pk"):
        yield (
            f"{many.batches} folded batches: offsets [{many.from_offset}, {many.to_offset}), "
            f"the last of them done at {many.done_at:%Y-%m-%d %H:%M:%S}{_of(many, partition)}."
        )
    for gap in partition.gaps.filter(**within):
        yield f"A gap: {gap.get_reason_display()}{_of(gap, partition)}."
    if is_there:
        return
    if partition.position is None or offset >= partition.position:
        yield f"Its turn has not come: the position is {partition.position or 0}."
    else:
        yield (
            "It was read, and is in no table: the offset held no message, a TTL has removed the "
            "row, or it is missing (see manage.py ledger)."
        )


def _of(entry: Batch | FoldedBatches | Gap, partition: StreamPartition) -> str:
    is_old = entry.incarnation != partition.incarnation
    return ", of the stream before it was made again" if is_old else ""


def _message(source: Source, number: int, offset: int) -> bytes | None:
    connector = connect(source.connection)
    try:
        for chunk in connector.repeat(source, number, offset, offset + 1):
            return bytes(chunk.rows["raw"][0].as_py())
    except ConnectorError:
        return None
    finally:
        connector.close()
    return None
