"""What an insert brings, held in memory until the engine's turn, within one bound for all."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator

#: Bytes of one insert that are taken in before the engine sees any of it. Up to here a client that
#: vanishes half-way has sent nothing at all; a larger insert is handed on as it comes.
EACH = 64 << 20
#: Bytes up to which data is handed over as one piece: what a pipe holds, as Linux makes it.
SMALL = 64 << 10
#: The bytes of all inserts together.
ALL = 512 << 20


class Budget:
    """Bytes that may still be held."""

    def __init__(self, size: int = ALL) -> None:
        self._left = size
        self._lock = threading.Lock()

    def take(self, size: int) -> bool:
        """Set ``size`` bytes aside; False when there are not so many left."""
        with self._lock:
            if self._left < size:
                return False
            self._left -= size
            return True

    def give(self, size: int) -> None:
        """Return what was taken."""
        with self._lock:
            self._left += size


class Spool:
    """An insert's data: first what is held, then what still comes from the client."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._held: deque[bytes] = deque()
        self._rest: Iterator[bytes] = iter(())
        self._comes = False
        self._size = 0

    def fill(self, head: bytes, data: Iterator[bytes]) -> None:
        """Take in data up to the bounds."""
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
        """All of the data, where it is held and no more than SMALL; it stays here."""
        if self._comes or sum(map(len, self._held)) > SMALL:
            return None
        return b"".join(self._held)

    def __iter__(self) -> Iterator[bytes]:
        while self._held:
            yield self._held.popleft()
        yield from self._rest

    def release(self) -> None:
        """Drop what is held."""
        self._held.clear()
        self._budget.give(self._size)
        self._size = 0
