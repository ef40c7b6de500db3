"""The threads of this web process, and the share of them that one tenant's calls may hold.

A call holds a thread until it is answered: while ClickHouse works, while ``?wait=true`` waits for
rows, while a slow client sends its body or takes its result. So each call of a tenant takes a place
here, whatever its plan says. A tenant may hold as many places as are free (twice as many with a
weight of 2): alone half of them, beside another a third, and so on, so that whoever comes next
finds a thread. These are dynamic thresholds, as switches share their buffers by (Choudhury and
Hahne, IEEE/ACM Transactions on Networking 6(2), 1998).

Beyond its share a call waits while the tenant's own calls come to an end one after the other, as
short ones do, and is refused once they don't. Who waits holds a thread, too, so the fewer are left,
the sooner. Of those that wait, the tenant that holds least goes first.

All of it is this process's own: threads are, so no other process has to be asked, and it holds
whether the cache answers or not.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from functools import lru_cache

from django.conf import settings

#: Seconds without an end of any of the tenant's calls after which one that waits is refused: while
#: all other threads are free, and when it is in the last one.
LONGEST, LEAST = 2.0, 0.05


class Busy(Exception):
    """A tenant's calls hold its share of the threads. ``held``: how many they are."""

    def __init__(self, held: int) -> None:
        super().__init__(held)
        self.held = held


@dataclass(slots=True, eq=False)
class _Holder:
    """A tenant with calls here. ``moved_at``: when one of them was let in, or ended."""

    held: int = 0
    waiting: int = 0
    moved_at: float = 0.0


@dataclass(slots=True, eq=False)
class _Waiting:
    holder: _Holder
    weight: int
    let_in: threading.Event = field(default_factory=threading.Event)


class HeldThread:
    """A thread that a call holds, until ``leave``."""

    __slots__ = ("_owner", "_threads")

    def __init__(self, threads: Threads, owner: Hashable) -> None:
        self._threads: Threads | None = threads
        self._owner = owner

    def leave(self) -> None:
        """Make room for another call. To do it again does nothing."""
        threads, self._threads = self._threads, None
        if threads is not None:
            threads.leave(self._owner)


class Threads:
    """``number`` threads, and who holds them."""

    def __init__(self, number: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.number = number
        self.clock = clock
        self._lock = threading.Lock()
        self._holders: dict[Hashable, _Holder] = {}
        self._queue: list[_Waiting] = []
        self._held = 0

    def take(self, owner: Hashable, weight: int = 1) -> HeldThread:
        """A place for a call of ``owner``, once there is one. Raises Busy."""
        with self._lock:
            holder = self._holders.get(owner)
            if holder is None:
                holder = self._holders[owner] = _Holder()
            if self._has_room(holder, weight):
                self._let_in(holder)
                return HeldThread(self, owner)
            waiting = _Waiting(holder, weight)
            holder.waiting += 1
            self._queue.append(waiting)
        self._wait(waiting)
        return HeldThread(self, owner)

    def leave(self, owner: Hashable) -> None:
        """A call of ``owner`` has ended: those that wait are let in, as far as there is room."""
        with self._lock:
            holder = self._holders[owner]
            holder.held -= 1
            holder.moved_at = self.clock()
            self._held -= 1
            self._let_in_waiting()
            if not holder.held and not holder.waiting:
                del self._holders[owner]

    def _has_room(self, holder: _Holder, weight: int) -> bool:
        """Nobody waits for a first place: a call that came so far has a thread."""
        if not holder.held:
            return True
        free = self.number - self._held
        return holder.held < min(weight * free, self.number - 1)

    def _let_in(self, holder: _Holder) -> None:
        holder.held += 1
        holder.moved_at = self.clock()
        self._held += 1

    def _let_in_waiting(self) -> None:
        while self._queue:
            fitting = [one for one in self._queue if self._has_room(one.holder, one.weight)]
            if not fitting:
                return
            # The first of equals is the one that has waited longest.
            first = min(fitting, key=lambda one: one.holder.held / one.weight)
            self._leave_queue(first)
            self._let_in(first.holder)
            first.let_in.set()

    def _wait(self, waiting: _Waiting) -> None:
        """Return when the call is let in; raises Busy where that is not to be expected soon."""
        while True:
            with self._lock:
                if waiting.let_in.is_set():
                    return
                left = self._patience(waiting.holder)
                if left <= 0:
                    self._leave_queue(waiting)
                    raise Busy(waiting.holder.held)
            waiting.let_in.wait(left)

    def _patience(self, holder: _Holder) -> float:
        """Seconds for which a call may wait if none of the holder's own ends."""
        idle = max(0, self.number - self._held - len(self._queue))
        longest = max(LEAST, LONGEST * idle / self.number)
        return holder.moved_at + longest - self.clock()

    def _leave_queue(self, waiting: _Waiting) -> None:
        self._queue.remove(waiting)
        waiting.holder.waiting -= 1


@lru_cache(maxsize=4)
def _threads(number: int, pid: int) -> Threads:
    return Threads(number)


def threads() -> Threads:
    """Those of this process; a process that was forked has its own."""
    return _threads(settings.MILLRACE_WEB_THREADS, os.getpid())
