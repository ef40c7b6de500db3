"""A lane: what one slice holds of one leased partition."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field

import pyarrow as pa

from ingestion.connectors.chunk import Chunk
from ingestion.consume.intent import Intent
from ingestion.consume.lease import Lease
from ingestion.consume.pace import Pace


@dataclass(frozen=True, slots=True)
class Cut:
    """A batch on its way: what is announced, and the messages."""

    intent: Intent
    rows: pa.Table


@dataclass(slots=True)
class Lane:
    """Messages that wait to be cut, beginning at ``position``; one batch at a time is under way."""

    lease: Lease
    position: int
    #: Offset of the next new message when the slice began: below it lies the backlog.
    high: int
    waiting: list[Chunk] = field(default_factory=list)
    rows: int = 0
    bytes: int = 0
    since: float = 0.0
    under_way: Cut | None = None

    def add(self, chunk: Chunk, now: float) -> None:
        """Take messages that follow on those before."""
        if not self.waiting:
            self.since = now
        self.waiting.append(chunk)
        self.rows += chunk.rows.num_rows
        self.bytes += chunk.bytes

    def is_due(self, pace: Pace, now: float, busy: int) -> bool:
        """Whether a batch should be cut; while one is under way the next one grows."""
        if self.under_way is not None or not self.waiting:
            return False
        backlog = self.high - self.waiting[-1].to_offset > pace.rows
        return pace.is_due(self.rows, self.bytes, now - self.since, busy, backlog=backlog)

    def cut(self) -> Cut:
        """All that waits, as one batch."""
        intent = Intent(
            lease=self.lease,
            token=uuid.uuid4(),
            from_offset=self.position,
            to_offset=self.waiting[-1].to_offset,
            rows=self.rows,
            bytes=self.bytes,
            newest=max(chunk.newest for chunk in self.waiting),
        )
        table = pa.Table.from_batches([chunk.rows for chunk in self.waiting])
        self.under_way = Cut(intent, table)
        self.discard()
        return self.under_way

    def landed(self) -> None:
        """The batch under way is in the table, and noted."""
        if self.under_way is not None:
            self.position = self.under_way.intent.to_offset
            self.under_way = None

    def discard(self) -> None:
        """Forget what waits; its place is in the broker."""
        self.waiting, self.rows, self.bytes = [], 0, 0
