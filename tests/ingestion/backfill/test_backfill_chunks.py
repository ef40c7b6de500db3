"""Where a backfill's chunks end does not depend on how its reader gives the messages."""

from __future__ import annotations

import pytest

from ingestion.backfill.chunks import Chunk, chunks_of
from ingestion.backfill.readers import Block


@pytest.mark.parametrize("known", [{}, {0: 3, 3: 10, 10: 11}])
def test_chunks_end_where_each_message_would_end_them(
    known: dict[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ingestion.backfill.chunks.MAX_BYTES", 40)
    sizes = [1, 2, 39, 1, 1, 1, 40, 41, 1, 20, 20, 20, 3, 3, 3, 3, 3, 3, 3, 3]
    messages = [b"x" * size for size in sizes]

    def cut(count: int) -> list[Chunk]:
        blocks = (
            Block(messages[start : start + count], 0) for start in range(0, len(messages), count)
        )
        return list(chunks_of(blocks, 6, known))

    alone = cut(1)
    assert [message for chunk in alone for message in chunk.messages] == messages
    assert all(cut(count) == alone for count in range(2, 21))
    if known:
        assert [chunk.to_row for chunk in alone[:3]] == [3, 10, 11]
