"""A batch that could be inserted: the buffer in which it waits, and the reader of that buffer."""

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
        """When its first message came, in seconds of the slice's clock."""
        return self.buffer.since

    @property
    def batch(self) -> PendingBatch:
        """What was cut off the buffer; raises ValueError before."""
        if self.buffer.under_way is None:
            msg = "There is no batch under way: cut the buffer first."
            raise ValueError(msg)
        return self.buffer.under_way
