"""A buffer: what one slice holds of one leased partition."""

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
    """Messages that wait to be cut, beginning at ``position``; one batch at a time is under way."""

    lease: Lease
    position: int
    #: Offset of the next new message when the slice began: below it lies the backlog.
    high: int
    #: Below it offsets may be in the table already, since a reset.
    reread_until: int = 0
    #: Owners before this one that died (Lease.crashes), until something lands.
    crashes: int = 0
    #: Where owners died of what comes next.
    caution: Caution | None = None
    #: Of the table, by which its messages are typed.
    table_version: int = 1
    #: Rows at which it is cut at the latest; None leaves that to the policy.
    enough: int | None = None
    waiting: list[Chunk] = field(default_factory=list)
    rows: int = 0
    bytes: int = 0
    since: float = 0.0
    under_way: PendingBatch | None = None

    def add(self, chunk: Chunk, now: float) -> None:
        """Take messages that follow on those before."""
        if not self.waiting:
            self.since = now
        self.waiting.append(chunk)
        self.rows += chunk.rows.num_rows
        self.bytes += chunk.bytes

    def is_small(self, rows: int, held: int) -> bool:
        """Whether a plain batch waits, of no more than ``rows`` messages and ``held`` bytes."""
        is_plain = self.caution is None and self.position >= self.reread_until
        return is_plain and 0 < self.rows <= rows and self.bytes <= held

    def cut(self, rows: int, size: int, *, past_views: bool = False) -> PendingBatch:
        """What waits, as a batch of about ``rows`` or ``size`` bytes; with caution, a piece of it.

        More may wait, where ClickHouse was away or slow: what one insert takes of its memory has a
        bound all the same.
        """
        if self.caution is None:
            chunks = self._first(rows, size)
            self.under_way = self._batch_of(chunks, past_views=past_views)
        else:
            chunk = poison_probe.piece(self.waiting, self.caution.rows)
            is_condemned = poison_probe.is_condemned(self.caution, chunk)
            self.under_way = replace(self._batch_of([chunk]), is_condemned=is_condemned)
        self.rows = sum(one.rows.num_rows for one in self.waiting)
        self.bytes = sum(one.bytes for one in self.waiting)
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
        )
        return PendingBatch(intent, table)

    def landed(self) -> PendingBatch:
        """The batch under way is in the table, and noted; returns it. Raises ValueError."""
        if self.under_way is None:
            msg = "There is no batch under way."
            raise ValueError(msg)
        batch, self.under_way = self.under_way, None
        self.position = batch.intent.to_offset
        return batch

    def discard(self) -> None:
        """Forget what waits; its place is in the broker."""
        self.waiting, self.rows, self.bytes = [], 0, 0
