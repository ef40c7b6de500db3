"""Cutting a file's rows into chunks, each an insert of its own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from ingestion.backfill.readers import Block

#: A chunk of large rows is cut here, as the engine takes it as one block.
MAX_BYTES = 32 << 20


@dataclass(frozen=True, slots=True)
class Chunk:
    """The rows ``[from_row, from_row + len(messages))``. ``read``: bytes of the file, about."""

    from_row: int
    messages: list[bytes]
    read: int

    @property
    def to_row(self) -> int:
        return self.from_row + len(self.messages)


def cut(blocks: Iterable[Block], rows: int, known: Mapping[int, int]) -> Iterator[Chunk]:
    """Chunks of ``rows`` rows or ``MAX_BYTES``; those of an earlier run end where they ended then.

    ``known`` says of an earlier run's chunks where they begin and end.
    """
    held: list[bytes] = []
    start = size = 0
    for block in blocks:
        for message in block.messages:
            held.append(message)
            size += len(message)
            end = known.get(start)
            if (start + len(held) == end) if end else (len(held) >= rows or size >= MAX_BYTES):
                yield Chunk(start, held, block.read)
                start, held, size = start + len(held), [], 0
    if held:
        yield Chunk(start, held, block.read)
