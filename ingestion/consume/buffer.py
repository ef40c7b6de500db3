"""The buffer of one leased partition: messages that were read and are not inserted yet."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field, replace

import pyarrow as pa

from ingestion.batches.batch import Intent, Lease, PendingBatch
from ingestion.connectors.chunk import Chunk
from ingestion.consume.recovery import poison_probe
from ingestion.models import Caution


@dataclass(slots=True, weakref_slot=True)
class PartitionBuffer:
    """Messages of one partition that wait for their batch; the batch is taken from the front.

    One batch of a partition is under way at a time, so that batches land in the order of their
    offsets. ``position`` is the offset where that batch, or else the next one, begins.
    ``since`` is when the first waiting message arrived, in seconds of the slice's clock.
    """

    lease: Lease
    position: int
    #: Offset of the next new message when the slice began. Messages below it are the backlog.
    high: int
    #: After a reset, messages below this offset may be in the table already.
    reread_until: int = 0
    #: Owners before this one that died in a row (Lease.crashes); 0 once a batch lands.
    crashes: int = 0
    #: How to read a partition whose owners died of the next messages; None reads as usual.
    caution: Caution | None = None
    #: The version of the table that types the messages.
    table_version: int = 1
    #: Whether the broker delivers again what was not acknowledged (Reader.is_queue).
    is_queue: bool = False
    #: Rows at which a batch is due, whatever the policy says; None leaves it to the policy.
    enough: int | None = None
    waiting: list[Chunk] = field(default_factory=list)
    rows: int = 0
    bytes: int = 0
    since: float = 0.0
    under_way: PendingBatch | None = None

    def add(self, chunk: Chunk, now: float) -> None:
        """Append messages that follow directly on those already in the buffer."""
        if not self.waiting:
            self.since = now
        self.waiting.append(chunk)
        self.rows += chunk.rows.num_rows
        self.bytes += chunk.bytes

    def is_small(self, rows: int, held: int) -> bool:
        """Whether at most ``rows`` messages and ``held`` bytes wait, and need no special care.

        Messages that are read with caution, or read again after a reset, need it.
        """
        is_plain = self.caution is None and self.position >= self.reread_until
        return is_plain and 0 < self.rows <= rows and self.bytes <= held

    def take_batch(self, rows: int, size: int, *, past_views: bool = False) -> PendingBatch:
        """Turn waiting messages into the batch under way: about ``rows`` rows or ``size`` bytes.

        A partition that is read with caution gives a smaller piece. The limit holds even if more
        waits, because ClickHouse was down or slow: it bounds the memory that one insert takes
        there.
        """
        if self.caution is None:
            chunks = self._first(rows, size)
            self.under_way = self._batch_of(chunks, past_views=past_views)
        else:
            chunk = poison_probe.piece(self.waiting, self.caution.rows)
            is_condemned = poison_probe.is_condemned(self.caution, chunk)
            self.under_way = replace(self._batch_of([chunk]), is_condemned=is_condemned)
        self.rows = sum(chunk.rows.num_rows for chunk in self.waiting)
        self.bytes = sum(chunk.bytes for chunk in self.waiting)
        return self.under_way

    def _first(self, rows: int, size: int) -> list[Chunk]:
        chunks: list[Chunk] = []
        while self.waiting and rows > 0 and size > 0:
            chunks.append(self.waiting.pop(0))
            rows -= chunks[-1].rows.num_rows
            size -= chunks[-1].bytes
        return chunks

    def _batch_of(self, chunks: list[Chunk], *, past_views: bool = False) -> PendingBatch:
        table = pa.Table.from_batches([chunk.rows for chunk in chunks])
        intent = Intent(
            origin=self.lease.origin,
            token=uuid.uuid4(),
            from_offset=self.position,
            to_offset=chunks[-1].to_offset,
            rows=table.num_rows,
            bytes=sum(chunk.bytes for chunk in chunks),
            newest=max(chunk.newest for chunk in chunks),
            is_reread=self.position < self.reread_until,
            past_views=past_views,
            deduplicated=sum(chunk.deduplicated for chunk in chunks),
            table_version=self.table_version,
            unidentified=sum(chunk.unidentified for chunk in chunks),
            is_queue=self.is_queue,
        )
        return PendingBatch(intent, table)

    def landed(self) -> PendingBatch:
        """Move the position behind the batch under way, which has landed; returns the batch.

        Raises ValueError if no batch is under way.
        """
        if self.under_way is None:
            msg = "There is no batch under way."
            raise ValueError(msg)
        batch, self.under_way = self.under_way, None
        self.position = batch.intent.to_offset
        return batch

    def discard(self) -> None:
        """Drop the waiting messages. The broker still has them; another reader gets them."""
        self.waiting, self.rows, self.bytes = [], 0, 0
