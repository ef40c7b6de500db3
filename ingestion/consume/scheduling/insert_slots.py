"""Permits to insert groups of small batches, shared by a connection's slices in one process.

The slice whose batch has waited longest gets the next permit. Sources that are added one by one end
up in two slices: one with the first of them, another with the rest. Each slice has its own threads,
so without permits the many tenants of the large slice would share as many inserts as the few of the
small one. Of a thousand tenants, those of the small slice were inserted every 10 seconds and the
others every 50.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from threading import Event, Lock
from weakref import WeakValueDictionary

from ingestion.consume.scheduling.batch_policy import INSERTS

#: Permits of a connection: at least what one slice can use, and at least one for each core.
NUMBER = max(INSERTS, os.cpu_count() or 1)
#: Seconds for which a claim holds other slices back. A slice that is refused asks again before
#: that. A slice that hangs, because Postgres does not answer, must not hold up the others.
FRESH = 1.0
#: Seconds for which a permit counts. An insert that takes longer waits for a table that hangs, and
#: tenants of other slices must not wait for that table too.
COUNTED = 10.0


class Permits:
    """``number`` permits. The event that wakes a slice identifies it. Thread-safe."""

    def __init__(self, number: int = NUMBER, clock: Callable[[], float] = time.monotonic) -> None:
        self._number, self._clock = number, clock
        self._lock = Lock()
        #: By slice: when it took each of its permits.
        self._held: dict[Event, list[float]] = {}
        #: By slice: since when its oldest batch has waited, and when it claimed a permit.
        self._claims: dict[Event, tuple[float, float]] = {}

    def take(self, woken: Event, since: float) -> bool:
        """Take a permit to insert what has waited since then; False if the slice must wait.

        A slice waits while another slice claims a permit for something older, or no permit is free.
        It is woken to ask again.
        """
        with self._lock:
            now = self._clock()
            self._claims[woken] = since, now
            is_oldest = all(
                since <= other or now - claimed_at > FRESH
                for other, claimed_at in self._claims.values()
            )
            counted = sum(
                now - taken_at < COUNTED
                for taken_ats in self._held.values()
                for taken_at in taken_ats
            )
            if not is_oldest or counted >= self._number:
                return False
            del self._claims[woken]
            self._held.setdefault(woken, []).append(now)
            return True

    def give(self, woken: Event) -> None:
        """Return the slice's latest permit: the older ones belong to inserts that may hang."""
        with self._lock:
            if self._held.get(woken):
                self._held[woken].pop()
            waiting = list(self._claims)
        for other in waiting:
            other.set()

    def forget(self, woken: Event) -> None:
        """Drop the claim of a slice that ends, and return all its permits."""
        with self._lock:
            self._held.pop(woken, None)
            self._claims.pop(woken, None)
            waiting = list(self._claims)
        for other in waiting:
            other.set()


_by_connection: WeakValueDictionary[int | None, Permits] = WeakValueDictionary()
_lock = Lock()


def of(connection_id: int | None) -> Permits:
    """The permits of a connection (None: the events endpoint) in this process."""
    with _lock:
        return _by_connection.setdefault(connection_id, Permits())
