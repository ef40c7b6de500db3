"""Permits to insert small batches, for all slices of a connection in one process, oldest first.

A connection whose sources came one by one has a slice of those that were there first and another of
the rest. Each has threads of its own, and so many tenants would wait for one as few for the other:
of a thousand, those of the small slice were inserted each 10 seconds and the others each 50.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from threading import Event, Lock
from weakref import WeakValueDictionary

from ingestion.consume.scheduling.batch_policy import INSERTS

#: Permits of a connection: what one slice alone could use, and no less than there are cores.
NUMBER = max(INSERTS, os.cpu_count() or 1)
#: Seconds for which a claim holds others back. A slice that is refused claims anew before that, and
#: one that hangs, as where Postgres does not answer, must hold up nobody.
FRESH = 1.0
#: Seconds for which a permit counts. What takes longer waits for a table that hangs, and tenants of
#: other slices must not wait for that one, too.
COUNTED = 10.0


class Permits:
    """``number`` permits. A slice is known by the event that wakes it. For any thread."""

    def __init__(self, number: int = NUMBER, clock: Callable[[], float] = time.monotonic) -> None:
        self._number, self._clock = number, clock
        self._lock = Lock()
        #: By slice: when it took each of its permits.
        self._held: dict[Event, list[float]] = {}
        #: By slice: since when its oldest batch waits, and when it said so.
        self._claims: dict[Event, tuple[float, float]] = {}

    def take(self, who: Event, since: float) -> bool:
        """Whether ``who`` may insert now what waits since then; if not, it is woken to ask again.

        Not while another slice has something older.
        """
        with self._lock:
            now = self._clock()
            self._claims[who] = since, now
            is_oldest = all(
                since <= other or now - said > FRESH for other, said in self._claims.values()
            )
            counted = sum(now - taken < COUNTED for all_ in self._held.values() for taken in all_)
            if not is_oldest or counted >= self._number:
                return False
            del self._claims[who]
            self._held.setdefault(who, []).append(now)
            return True

    def give(self, who: Event) -> None:
        """Return one: the latest, as what hangs is not what ends."""
        with self._lock:
            if self._held.get(who):
                self._held[who].pop()
            waiting = list(self._claims)
        for one in waiting:
            one.set()

    def forget(self, who: Event) -> None:
        """Drop the claim of a slice that ends, and return what it holds."""
        with self._lock:
            self._held.pop(who, None)
            self._claims.pop(who, None)
            waiting = list(self._claims)
        for one in waiting:
            one.set()


_by_connection: WeakValueDictionary[int | None, Permits] = WeakValueDictionary()
_lock = Lock()


def of(connection_id: int | None) -> Permits:
    """Those of a connection (None: the events endpoint) in this process."""
    with _lock:
        return _by_connection.setdefault(connection_id, Permits())
