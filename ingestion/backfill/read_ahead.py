"""Makes the next item of an iterator while one is used: reads a file while its rows are inserted.

Arrow, decompression and the wait for ClickHouse leave Python to the other thread.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TypeVar

Item = TypeVar("Item")


def read_ahead(items: Generator[Item]) -> Generator[Item]:
    """The items in their order, each made by a thread while the one before is used.

    The caller's thread makes the first, because what precedes it may use the database. What making
    an item raises is raised in its place. Closes ``items`` at the end.
    """
    with closing(items):
        if (first := next(items, None)) is not None:
            yield from _with_thread(first, items)


def _with_thread(item: Item, items: Iterator[Item]) -> Generator[Item]:
    with ThreadPoolExecutor(1) as thread:
        following: Item | None = item
        while following is not None:
            coming = thread.submit(next, items, None)
            # If the caller stops here, the pool waits for the thread before ``items`` is closed.
            yield following
            following = coming.result()
