"""A feed: one source in one slice, with its reader and the lanes of its leased partitions.

A source is the unit of failure: whatever breaks is noted at it, and its feed alone leaves.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field

from ingestion.connectors.base import Connector, Reader, Watermarks
from ingestion.connectors.redelivery import Redelivery
from ingestion.consume import inbox, recover, settle, trouble
from ingestion.consume.inbox import Address
from ingestion.consume.lane import Lane
from ingestion.consume.lease import Lease
from ingestion.errors import ConnectorError, LeaseLost, StreamMissing
from ingestion.models import Source, SourceStart, StreamPartition
from tenants.warehouse.errors import WarehouseError

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Feed:
    """``done``: batches of this slice, not settled; ``inherited``: those of earlier owners."""

    source: Source
    address: Address
    reader: Reader
    lanes: dict[int, Lane]
    inherited: list[uuid.UUID] = field(default_factory=list)
    done: list[uuid.UUID] = field(default_factory=list)

    @property
    def tenant_id(self) -> int:
        return self.source.tenant_id

    @property
    def held_bytes(self) -> int:
        """Bytes in memory, what is being inserted included."""
        return sum(
            lane.bytes + (lane.under_way.intent.bytes if lane.under_way else 0)
            for lane in self.lanes.values()
        )

    def partition_ids(self) -> list[int]:
        return [lane.lease.partition_id for lane in self.lanes.values()]

    def is_inserting(self) -> bool:
        return any(lane.under_way for lane in self.lanes.values())

    def pull(self, limit: int, now: float) -> int:
        """Move what has arrived into the lanes; returns how many. Raises ConnectorError."""
        chunks = self.reader.poll(limit)
        for chunk in chunks:
            self.lanes[chunk.number].add(chunk, now)
        return sum(chunk.rows.num_rows for chunk in chunks)

    def landed(self, lane: Lane) -> None:
        """A lane's batch is in the table and the position behind it: acknowledge, last of all."""
        if lane.under_way is not None:
            self.done.append(lane.under_way.intent.token)
        lane.landed()
        trouble.overcome(self.source)
        self.reader.acknowledge({lane.lease.number: lane.position})

    def settle(self) -> None:
        """Count and close what the broker knows to be done.

        Raises ConnectorError, WarehouseError.
        """
        due, inherited = list(self.done), self.inherited
        if due or inherited:
            self.reader.flush()
            due += inherited if self.reader.has_caught_up() else []
        settle.settle(self.address, due)
        closed = set(due)
        self.done = [token for token in self.done if token not in closed]
        self.inherited = [token for token in inherited if token not in closed]

    def close(self) -> None:
        """Let go of the stream, settling what can be settled."""
        try:
            self.settle()
        except (ConnectorError, WarehouseError) as error:
            log.info("Source %s: settled by the next owner (%s)", self.source, error)
        self.reader.close()


def open_feed(
    connector: Connector,
    source: Source,
    leases: list[Lease],
    marks: Mapping[int, Watermarks],
) -> Feed:
    """A feed that goes on where the last owner stopped, after ending what that one left open.

    Raises ConnectorError, WarehouseError, LeaseLost.
    """
    at = inbox.address(source.table)
    lanes: dict[int, Lane] = {}
    known = Redelivery()
    for lease in leases:
        if lease.number not in marks:
            msg = f"Partition {lease.number} of {source.stream!r} no longer exists at the broker."
            raise StreamMissing(msg)
        recover.recover(connector, source, at, lease)
        known = recover.redelivery(source, at, lease)
        mark = marks[lease.number]
        lanes[lease.number] = Lane(lease, _position(source, lease, mark), mark.high)
    inherited = settle.unsettled([lease.partition_id for lease in leases])
    positions = {number: lane.position for number, lane in lanes.items()}
    reader = connector.open(source, positions, known)
    return Feed(source, at, reader, lanes, inherited)


def _position(source: Source, lease: Lease, mark: Watermarks) -> int:
    """Where reading begins. A gap that the broker's retention left is noted, never silent."""
    partition = StreamPartition.objects.get(pk=lease.partition_id)
    if partition.position is None:
        first = mark.low if source.start == SourceStart.EARLIEST else mark.high
        _move(lease, first)
        return first
    if partition.position < mark.low:
        trouble.note_gap(source, lease.number, partition.position, mark.low)
        _move(lease, mark.low)
        return mark.low
    return partition.position


def _move(lease: Lease, position: int) -> None:
    moved = StreamPartition.objects.filter(
        pk=lease.partition_id, lease_owner=lease.owner, epoch=lease.epoch
    ).update(position=position)
    if not moved:
        raise LeaseLost(str(lease))
