"""Buffers the data of inserts in memory before the engine reads it, within a common limit."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator

#: Bytes of one insert that are read before the engine sees any of it. If the client of a smaller
#: insert goes away half-way, nothing is inserted; a larger insert is passed on as it arrives.
EACH = 64 << 20
#: Bytes up to which data is passed on in one piece: the default size of a pipe on Linux.
SMALL = 64 << 10
#: Bytes of all inserts together.
ALL = 512 << 20


class Budget:
    """The number of bytes that may still be buffered."""

    def __init__(self, size: int = ALL) -> None:
        self._left = size
        self._lock = threading.Lock()

    def take(self, size: int) -> bool:
        """Reserve ``size`` bytes; returns False if fewer are left."""
        with self._lock:
            if self._left < size:
                return False
            self._left -= size
            return True

    def give(self, size: int) -> None:
        """Return ``size`` reserved bytes."""
        with self._lock:
            self._left += size


class Spool:
    """An insert's data: iterates over the buffered part, then over the rest from the client."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._held: deque[bytes] = deque()
        self._rest: Iterator[bytes] = iter(())
        self._comes = False
        self._size = 0

    def fill(self, head: bytes, data: Iterator[bytes]) -> None:
        """Buffer data up to the limits."""
        self._rest, self._comes = data, True
        if head:
            self._held.append(head)
        for piece in data:
            self._held.append(piece)
            if not self._budget.take(len(piece)):
                return
            self._size += len(piece)
            if self._size > EACH:
                return
        self._comes = False

    @property
    def whole(self) -> bytes | None:
        """All of the data, if it is buffered and at most SMALL bytes. It stays in the buffer."""
        if self._comes or sum(map(len, self._held)) > SMALL:
            return None
        return b"".join(self._held)

    def __iter__(self) -> Iterator[bytes]:
        while self._held:
            yield self._held.popleft()
        yield from self._rest

    def release(self) -> None:
        """Drop the buffered data."""
        self._held.clear()
        self._budget.give(self._size)
        self._size = 0
