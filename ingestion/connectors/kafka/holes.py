"""Offsets at a partition's end that hold no message: a transaction's marker, or what it aborted.

They lie between the last message and the end, so that no message will tell that they were passed;
without them a partition that was read to its end would lag behind for ever.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from ingestion.connectors.chunk import Chunk, hole


class Holes:
    """How far each partition was read, beginning with ``positions``."""

    def __init__(self, positions: Mapping[int, int]) -> None:
        self._reached = dict(positions)

    def closed(self, chunks: Sequence[Chunk], ends: Mapping[int, int]) -> list[Chunk]:
        """``chunks``, each partition's followed by its hole, where ``ends`` says that it has one.

        ``ends``: of partitions whose end was reached after their chunk, the offset of the end.
        """
        made = {one.number: one for one in chunks}
        self._reached |= {number: one.to_offset for number, one in made.items()}
        for number, end in ends.items():
            if end > self._reached.get(number, end):
                chunk = made.get(number) or hole(number, end)
                made[number] = replace(chunk, to_offset=end)
                self._reached[number] = end
        return list(made.values())
