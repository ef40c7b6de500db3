"""A candidate for an insert: a buffer in which a batch may wait, with the reader of the buffer."""

from __future__ import annotations

from dataclasses import dataclass

from ingestion.batches.batch import PendingBatch
from ingestion.consume.buffer import PartitionBuffer
from ingestion.consume.source_reader import SourceReader


@dataclass(frozen=True, slots=True)
class Candidate:
    """One buffer of one reader."""

    reader: SourceReader
    buffer: PartitionBuffer

    @property
    def tenant_id(self) -> int:
        return self.reader.tenant_id

    @property
    def since(self) -> float:
        """When the buffer's first waiting message arrived, in seconds of the slice's clock."""
        return self.buffer.since

    @property
    def batch(self) -> PendingBatch:
        """The batch that was taken from the buffer. Raises ValueError if none is under way."""
        if self.buffer.under_way is None:
            msg = "There is no batch under way: call take_batch() first."
            raise ValueError(msg)
        return self.buffer.under_way
