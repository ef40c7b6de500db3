"""Locates a message: its row in the table or in the quarantine, and the message at the broker.

Of a message that a filter has left out there is only its origin, and the filter that did it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ingestion import versions
from ingestion.connectors.registry import connect
from ingestion.errors import ConnectorError
from ingestion.landing import addresses
from ingestion.landing.addresses import Address
from ingestion.models import (
    Batch,
    FoldedBatches,
    Gap,
    QuarantineDeparture,
    Source,
    StreamPartition,
)
from ingestion.quarantine import departures
from tenants.warehouse import client

#: The most rows of each table that one search returns.
SHOWN = 10


@dataclass(frozen=True, slots=True)
class Found:
    """One row of the table, or of the quarantine if ``is_misfit``, as ClickHouse has it.

    ``is_filtered``: it is the origin of a message that the source's filter has left out.
    """

    is_misfit: bool
    values: dict[str, Any]
    is_filtered: bool = False

    @property
    def offset(self) -> int:
        return int(self.values["_offset"])

    @property
    def batch(self) -> str:
        return str(self.values["_batch"])


@dataclass(slots=True)
class Location:
    """Where a message is. ``message``: its bytes at the broker; None if the broker can't give them.

    ``notes``: what the ledger knows of it: its batch, a gap, or that it has not been read yet.
    """

    rows: list[Found] = field(default_factory=list)
    message: bytes | None = None
    notes: list[str] = field(default_factory=list)


def by_offset(source: Source, number: int, offset: int) -> Location:
    """Locate a message by partition and offset; raises WarehouseError."""
    address = addresses.place_of(source.table)
    rows = list(
        _rows(
            address, source, "_partition = {n:UInt32} AND _offset = {o:Int64}", n=number, o=offset
        )
    )
    partition = source.partitions.filter(number=number).first()
    notes = (
        [f"There is no partition {number}."]
        if partition is None
        else list(_notes(partition, offset, is_there=bool(rows)))
    )
    return Location(rows, _message(source, number, offset), notes)


def by_id(source: Source, message_id: str) -> Location:
    """Locate a message of a queue by its sender's message_id; raises WarehouseError."""
    address = addresses.place_of(source.table)
    rows = list(_rows(address, source, "_message_id = {id:String}", id=message_id))
    notes = [] if rows else ["No row of this source has this message id."]
    for row in rows:
        partition = source.partitions.filter(number=row.values["_partition"]).first()
        if partition is not None:
            notes += _notes(partition, row.offset, is_there=True)
    return Location(rows, None, notes)


def _rows(address: Address, source: Source, condition: str, **bound: Any) -> Iterator[Found]:
    for table in filter(None, (address.table, address.quarantine, address.filtered)):
        sql = (
            f"SELECT * FROM {table} "  # noqa: S608 - names of ours
            f"WHERE _source = {{source:UInt64}} AND {condition} LIMIT {SHOWN}"
        )
        for values in client.rows(sql, {"source": source.pk, **bound}):
            yield Found(table == address.quarantine, values, table == address.filtered)


def _notes(partition: StreamPartition, offset: int, *, is_there: bool) -> Iterator[str]:
    within = {"from_offset__lte": offset, "to_offset__gt": offset}
    for batch in Batch.across_tenants.filter(partition=partition, **within).order_by("pk"):
        yield (
            f"Batch {batch.token}: offsets [{batch.from_offset}, {batch.to_offset}), "
            f"{batch.state}{_incarnation(batch, partition)}."
        )
        if filtering := _filter_of(batch, partition):
            yield filtering
    for folded in FoldedBatches.across_tenants.filter(partition=partition, **within).order_by("pk"):
        yield (
            f"{folded.batches} folded batches: offsets [{folded.from_offset}, {folded.to_offset}), "
            f"the last of them done at {folded.done_at:%Y-%m-%d %H:%M:%S}"
            f"{_incarnation(folded, partition)}."
        )
    for gap in partition.gaps.filter(**within):
        yield f"A gap: {gap.get_reason_display()}{_incarnation(gap, partition)}."
    left = departures.of_offset(partition, offset)
    for departure in left:
        yield _departure(departure)
    if is_there or any(departure.is_discard for departure in left):
        return
    if partition.position is None or offset >= partition.position:
        yield f"It has not been read yet: the position is {partition.position or 0}."
    else:
        yield (
            "It was read, but neither the table nor the quarantine has it: the offset held no "
            "message, a TTL has removed the row, or it is missing (see manage.py ledger)."
        )


def _filter_of(batch: Batch, partition: StreamPartition) -> str:
    """The filter by which the batch was typed, if it has left out any of it."""
    source = partition.source
    if not batch.filtered:
        return ""
    version = versions.version_of(source.table, batch.table_version)
    by_source = {one.source: one.expression for one in versions.filters_in(version)}
    return (
        f"Version {version.number} of the table left out {batch.filtered:,} messages of this "
        f"batch: its filter {by_source.get(source.pk, '')!r} is false for them."
    )


def _departure(departure: QuarantineDeparture) -> str:
    run = departure.run
    when = f"{departure.left_at:%Y-%m-%d %H:%M:%S} by {run.actor or 'Millrace'} (run {run.pk})"
    if departure.is_discard:
        return f"Discarded from the quarantine at {when}: {run.note}"
    return f"Replayed from the quarantine into the table at {when}."


def _incarnation(entry: Batch | FoldedBatches | Gap, partition: StreamPartition) -> str:
    is_old = entry.incarnation != partition.incarnation
    return ", of the stream before it was created again" if is_old else ""


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
