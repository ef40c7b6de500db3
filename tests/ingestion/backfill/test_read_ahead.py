"""The next item is made while one is used, in order, and errors come where they belong."""

from __future__ import annotations

import threading
from collections.abc import Generator

import pytest

from ingestion.backfill.chunks import Chunk, chunks_of
from ingestion.backfill.read_ahead import read_ahead
from ingestion.backfill.readers import Block


def test_an_item_is_made_while_the_one_before_is_used() -> None:
    was_made, threads = threading.Event(), []

    def items() -> Generator[int]:
        for number in range(3):
            threads.append(threading.current_thread())
            if number == 1:
                was_made.set()
            yield number

    coming = read_ahead(items())
    assert next(coming) == 0
    assert was_made.wait(60)
    assert list(coming) == [1, 2]
    assert threads[0] is threading.current_thread()
    assert threads[1] is threads[2] is not threads[0]


def test_an_error_comes_after_the_items_before_it() -> None:
    def items() -> Generator[int]:
        yield 1
        yield 2
        raise OSError("cut")

    coming = read_ahead(items())
    assert [next(coming), next(coming)] == [1, 2]
    with pytest.raises(OSError, match="cut"):
        next(coming)
    assert list(read_ahead(item for item in ())) == []


def test_what_is_left_is_closed() -> None:
    was_closed = threading.Event()

    def items() -> Generator[int]:
        try:
            while True:
                yield 1
        finally:
            was_closed.set()

    coming = read_ahead(items())
    next(coming)
    coming.close()
    assert was_closed.is_set()


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
