"""A source reader: one source in one slice, with the buffers of its leased partitions.

A source is the unit of failure. An error is noted at its source, and only its reader stops.
"""

from __future__ import annotations

import logging
import uuid
from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from ingestion.batches import settle
from ingestion.batches.batch import BatchStats, Lease
from ingestion.connectors.base import Connector, Reader, Watermarks
from ingestion.connectors.redelivery import Redelivery
from ingestion.consume.buffer import PartitionBuffer
from ingestion.consume.recovery import open_batches, poison, stream_identity
from ingestion.ddl import metadata
from ingestion.errors import ConnectorError, LeaseLost, StreamMissing, TableNotReady
from ingestion.landing import addresses, tally
from ingestion.landing.addresses import Address
from ingestion.leases.lease import update_partitions
from ingestion.models import (
    Batch,
    BatchState,
    ConnectionKind,
    Source,
    SourceStart,
    StreamPartition,
)
from ingestion.monitoring import source_errors, unknown_fields
from tenants.warehouse.errors import WarehouseError

log = logging.getLogger(__name__)

#: The smallest ``PartitionBuffer.enough``: a batch of fewer messages always waits for its age,
#: however few unacknowledged messages the broker allows.
LEAST = 1_000


@dataclass(slots=True)
class SourceReader:
    """Reads one source into its buffers, and accounts for the batches that have landed.

    ``done``: batches of this slice that have landed and are not settled. ``inherited``: the same of
    earlier owners. ``uncommitted``: by partition number, the positions that Postgres has and the
    broker does not. ``misfits``: how many of the settled rows did not fit. ``polled_at``: when the
    reader was last polled, or was known to have nothing, in seconds of the slice's clock.
    ``brought_at``: when a poll last brought messages.
    """

    source: Source
    address: Address
    stream: Reader
    buffers: dict[int, PartitionBuffer]
    inherited: list[uuid.UUID] = field(default_factory=list)
    done: dict[uuid.UUID, BatchStats] = field(default_factory=dict)
    uncommitted: dict[int, int] = field(default_factory=dict)
    misfits: int = 0
    polled_at: float | None = None
    brought_at: float | None = None

    @property
    def tenant_id(self) -> int:
        return self.source.tenant_id

    @property
    def held_bytes(self) -> int:
        """Bytes of messages in memory, including the batches that are being inserted."""
        return sum(
            buffer.bytes + (buffer.under_way.intent.bytes if buffer.under_way else 0)
            for buffer in self.buffers.values()
        )

    def partition_ids(self) -> list[int]:
        return [buffer.lease.partition_id for buffer in self.buffers.values()]

    def is_inserting(self) -> bool:
        return any(buffer.under_way for buffer in self.buffers.values())

    def poll(self, limit: int, now: float) -> int:
        """Move up to ``limit`` messages that have arrived into the buffers; returns how many.

        Raises ConnectorError.
        """
        careful = [buffer for buffer in self.buffers.values() if buffer.caution is not None]
        # What is read with caution is inserted before more is read.
        if any(buffer.waiting for buffer in careful):
            return 0
        if not self.stream.has_arrived():
            self.polled_at = now
            return 0
        limit = min([limit, *(buffer.caution.rows for buffer in careful if buffer.caution)])
        chunks = self.stream.poll(limit)
        # These messages may have waited since the last poll, so that is when their wait begins. If
        # it began now, the oldest messages of many readers would not be inserted first.
        since, self.polled_at = self.polled_at, now
        for chunk in chunks:
            self.buffers[chunk.number].add(chunk, now if since is None else since)
        if chunks:
            self.brought_at = now
        return sum(chunk.rows.num_rows for chunk in chunks)

    def landed(self, buffer: PartitionBuffer, stats: BatchStats) -> None:
        """Note that a buffer's batch is in the table, and that Postgres has moved the position."""
        batch = buffer.landed()
        self.done[batch.intent.token] = stats
        # Before anything that may fail: what is settled must have been acknowledged (``counted``).
        self.uncommitted[buffer.lease.number] = buffer.position
        if buffer.crashes:
            buffer.crashes = 0
            poison.forget_crashes(buffer.lease)
        if buffer.caution is not None:
            buffer.caution = poison.relaxed(self.source, buffer.caution, batch)
        source_errors.overcome(self.source)
        version = batch.intent.table_version
        unknown_fields.look(self.source.table, version, self.address.columns, batch.rows)

    def commit(self) -> None:
        """Acknowledge to the broker what has landed. Raises ConnectorError."""
        if self.uncommitted:
            self.stream.acknowledge(self.uncommitted)
            self.uncommitted = {}

    def counted(self) -> dict[uuid.UUID, BatchStats]:
        """Count the batches that can be settled now; returns the statistics of each.

        A batch is acknowledged first: if the broker delivers messages of a settled batch again,
        only an id that their sender set tells them from new ones. Raises ConnectorError,
        WarehouseError.
        """
        due = dict(self.done)
        if not due and not self.inherited:
            return {}
        self.commit()
        self.stream.flush()
        if self.stream.has_caught_up():
            due |= dict.fromkeys(self.inherited, BatchStats())
        return tally.counted(self.address, due)

    def settled(self, batches: Mapping[uuid.UUID, BatchStats]) -> None:
        """Note that ``batches`` are settled."""
        self.misfits += sum(stats.misfits or 0 for stats in batches.values())
        self.done = {token: stats for token, stats in self.done.items() if token not in batches}
        self.inherited = [token for token in self.inherited if token not in batches]

    def close(self) -> None:
        """Settle the batches that can be settled, and close the stream."""
        try:
            counted = self.counted()
            settle.close(counted)
            self.settled(counted)
        except (ConnectorError, WarehouseError) as error:
            log.info("Source %s: the next owner settles its batches (%s)", self.source, error)
        self.stream.close()


@dataclass(frozen=True, slots=True)
class Unfinished:
    """What earlier owners of the partitions left behind, by the keys of the partitions.

    ``opened``: partitions with an open intent. ``done``: tokens of batches that have landed and are
    not settled.
    """

    partitions: Mapping[int, StreamPartition]
    opened: Collection[int]
    done: Mapping[int, list[uuid.UUID]]


def unfinished_of(leases: Collection[Lease]) -> Unfinished:
    """What earlier owners left behind at the leased partitions. Three queries for all of them.

    Crashes are reset to 0 where no batch was under way: no message can be the cause.
    """
    ids = [lease.partition_id for lease in leases]
    partitions = StreamPartition.across_tenants.select_related("caution").in_bulk(ids)
    opened: set[int] = set()
    done: dict[int, list[uuid.UUID]] = defaultdict(list)
    batches = Batch.across_tenants.filter(partition__in=ids).exclude(state=BatchState.SETTLED)
    for partition_id, token, state in batches.values_list("partition", "token", "state"):
        if state == BatchState.INTENT:
            opened.add(partition_id)
        else:
            done[partition_id].append(token)
    blameless = [
        lease.partition_id for lease in leases if lease.crashes and lease.partition_id not in opened
    ]
    if blameless:
        update_partitions(StreamPartition.across_tenants.filter(pk__in=blameless), crashes=0)
    return Unfinished(partitions, opened, done)


def open_source_reader(
    connector: Connector,
    source: Source,
    leases: list[Lease],
    marks: Mapping[int, Watermarks],
    unfinished: Unfinished,
) -> SourceReader:
    """Finish what the last owner left open, and open a reader at the position behind it.

    ``marks``: by partition number, the watermarks that the broker has just reported. Raises
    ConnectorError, WarehouseError, LeaseLost.
    """
    address = addresses.address_of(source.table)
    _check_filter(source, address)
    buffers: dict[int, PartitionBuffer] = {}
    inherited: list[uuid.UUID] = []
    known = Redelivery()
    for lease in leases:
        if lease.number not in marks:
            msg = f"Partition {lease.number} of {source.stream!r} no longer exists at the broker."
            raise StreamMissing(msg)
        buffers[lease.number] = _buffer(
            connector, source, address, lease, marks[lease.number], unfinished
        )
        inherited += _done(lease, unfinished)
        if source.kind == ConnectionKind.RABBITMQ:
            known = open_batches.redelivery(source, address, lease)
    positions = {number: buffer.position for number, buffer in buffers.items()}
    reader = connector.open(source, positions, known, metadata.wanted(address.columns))
    for buffer in buffers.values():
        buffer.is_queue = reader.is_queue
        if reader.holds is not None:
            # The broker sends no more than ``holds`` messages before an acknowledgement, so one
            # half is inserted while the other arrives.
            buffer.enough = max(LEAST, reader.holds // 2)
    return SourceReader(source, address, reader, buffers, inherited)


def _check_filter(source: Source, address: Address) -> None:
    """Raise TableNotReady if nothing has landed yet, and ClickHouse has not applied its filter.

    A source that gets a filter later is read on meanwhile, as it was before.
    """
    if not source.filter or source.pk in {one.source for one in address.filters}:
        return
    if not source.partitions.exclude(last_landed_at=None).exists():
        msg = (
            f"ClickHouse has not applied the filter of {source} yet, so nothing is read. Reading "
            "begins by itself once it is applied."
        )
        raise TableNotReady(msg)


def _buffer(
    connector: Connector,
    source: Source,
    address: Address,
    lease: Lease,
    mark: Watermarks,
    unfinished: Unfinished,
) -> PartitionBuffer:
    """An empty buffer at the partition's position, after the recovery of its open intents."""
    partition = unfinished.partitions[lease.partition_id]
    is_open = lease.partition_id in unfinished.opened
    if is_open or stream_identity.is_another(lease.stream_id, lease.position, mark):
        stream_identity.check(source, lease, mark)
        poison.judge(connector, source, address, lease)
        open_batches.recover(connector, source, lease)
        partition = StreamPartition.across_tenants.select_related("caution").get(
            pk=lease.partition_id
        )
    return PartitionBuffer(
        lease,
        _position(source, partition, lease, mark),
        mark.high,
        partition.reread_until,
        lease.crashes if is_open else 0,
        getattr(partition, "caution", None),
        address.version,
    )


def _done(lease: Lease, unfinished: Unfinished) -> list[uuid.UUID]:
    """Tokens of batches that are done and not settled, including those just recovered."""
    if lease.partition_id not in unfinished.opened:
        return unfinished.done.get(lease.partition_id, [])
    done = Batch.across_tenants.filter(partition=lease.partition_id, state=BatchState.DONE)
    return list(done.values_list("token", flat=True))


def _position(source: Source, partition: StreamPartition, lease: Lease, mark: Watermarks) -> int:
    """The offset at which reading begins. A gap that the broker's retention left is noted.

    The offset may lie beyond ``mark.high``, which was measured before open batches were recovered.
    """
    if partition.position is None:
        first = mark.low if source.start == SourceStart.EARLIEST else mark.high
        _move(lease, first)
        return first
    if partition.position < mark.low:
        source_errors.note_gap(source, lease.number, partition.position, mark.low)
        _move(lease, mark.low)
        return mark.low
    return partition.position


def _move(lease: Lease, position: int) -> None:
    """Store the position under the lease; raises LeaseLost if another owner has it."""
    moved = StreamPartition.across_tenants.filter(
        pk=lease.partition_id, lease_owner=lease.owner, epoch=lease.epoch
    ).update(position=position)
    if not moved:
        raise LeaseLost(str(lease))
