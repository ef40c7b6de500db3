"""Skips offsets at a partition's end that hold no message: transaction markers, aborted messages.

They lie between the last message and the end, so no message shows that they were passed. Without
skipping them, a partition that was read to its end would show lag for ever.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from ingestion.connectors.chunk import Chunk, hole


class Holes:
    """Tracks how far each partition was read, beginning at ``positions``.

    ``has_metadata``: whether the chunks have the metadata of their messages.
    """

    def __init__(self, positions: Mapping[int, int], *, has_metadata: bool = False) -> None:
        self._reached, self._has_metadata = dict(positions), has_metadata

    def closed(self, chunks: Sequence[Chunk], ends: Mapping[int, int]) -> list[Chunk]:
        """``chunks``, each extended over the hole behind it, if ``ends`` shows that it has one.

        ``ends``: the offset of the end of each partition whose end was reached after its chunk.
        """
        by_number = {chunk.number: chunk for chunk in chunks}
        self._reached |= {number: chunk.to_offset for number, chunk in by_number.items()}
        for number, end in ends.items():
            if end > self._reached.get(number, end):
                chunk = by_number.get(number) or self._hole(number, end)
                by_number[number] = replace(chunk, to_offset=end)
                self._reached[number] = end
        return list(by_number.values())

    def _hole(self, number: int, end: int) -> Chunk:
        return hole(number, end, has_metadata=self._has_metadata)
