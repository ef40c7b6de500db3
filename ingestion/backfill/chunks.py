"""Divides a file's rows into chunks, each with an insert of its own."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping
from dataclasses import dataclass

from ingestion.backfill.readers import Block

#: The size at which a chunk of large rows ends early, because ClickHouse takes it as one block.
MAX_BYTES = 32 << 20


@dataclass(frozen=True, slots=True)
class Chunk:
    """The rows ``[from_row, to_row)``, as JSON. ``read``: bytes of the file up to here, about."""

    from_row: int
    messages: list[bytes]
    read: int

    @property
    def to_row(self) -> int:
        return self.from_row + len(self.messages)


def chunks_of(blocks: Iterable[Block], rows: int, known: Mapping[int, int]) -> Generator[Chunk]:
    """Divide rows into chunks of ``rows`` rows or ``MAX_BYTES``.

    ``known``: by the first row of an earlier run's chunk, the row behind it. Such chunks end where
    they ended then, so that their intents and tokens still describe them.
    """
    held: list[bytes] = []
    start = size = 0
    for block in blocks:
        count, end = len(held) + len(block.messages), known.get(start)
        block_size = sum(map(len, block.messages))
        if start + count < end if end else (count < rows and size + block_size < MAX_BYTES):
            # No chunk ends within it: no need to look at each message.
            held += block.messages
            size += block_size
            continue
        for message in block.messages:
            held.append(message)
            size += len(message)
            end = known.get(start)
            if (start + len(held) == end) if end else (len(held) >= rows or size >= MAX_BYTES):
                yield Chunk(start, held, block.read)
                start, held, size = start + len(held), [], 0
    if held:
        yield Chunk(start, held, block.read)
