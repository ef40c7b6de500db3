"""The threads of this web process, and the share of them that one tenant's calls may hold.

A call holds a thread until it is answered: while ClickHouse works, while ``?wait=true`` waits for
rows, while a slow client sends its body or reads its result. So each call of a tenant takes a place
here, whatever its plan says. A tenant may hold as many places as are free (twice as many with a
weight of 2): half of them if it is alone, a third beside one other tenant, and so on, so that the
next tenant always finds a thread. These are dynamic thresholds, the way in which network switches
share their buffers (Choudhury and Hahne, IEEE/ACM Transactions on Networking 6(2), 1998).

A call beyond the tenant's share waits as long as the tenant's own calls keep ending, as short calls
do, and is refused when they don't. A waiting call holds a thread too, so the fewer threads are
left, the sooner it is refused. Among waiting calls, the tenant that holds least goes first.

All of this is local to the process, because threads are: it needs no other process and no cache.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from functools import lru_cache

from django.conf import settings

#: A waiting call is refused if none of the tenant's calls has ended for this many seconds: LONGEST
#: while all other threads are free, LEAST if it waits in the last one.
LONGEST, LEAST = 2.0, 0.05


class Busy(Exception):
    """A tenant's calls already hold its share of the threads. ``held``: how many calls."""

    def __init__(self, held: int) -> None:
        super().__init__(held)
        self.held = held


@dataclass(slots=True, eq=False)
class _Holder:
    """A tenant with calls in this process. ``moved_at``: when one was last admitted, or ended."""

    held: int = 0
    waiting: int = 0
    moved_at: float = 0.0


@dataclass(slots=True, eq=False)
class _Waiting:
    holder: _Holder
    weight: int
    let_in: threading.Event = field(default_factory=threading.Event)


class HeldThread:
    """A thread that a call holds until ``leave``."""

    __slots__ = ("_owner", "_threads")

    def __init__(self, threads: Threads, owner: Hashable) -> None:
        self._threads: Threads | None = threads
        self._owner = owner

    def leave(self) -> None:
        """Release the thread. Calling it again does nothing."""
        threads, self._threads = self._threads, None
        if threads is not None:
            threads.leave(self._owner)


class Threads:
    """``number`` threads and their holders."""

    def __init__(self, number: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.number = number
        self.clock = clock
        self._lock = threading.Lock()
        self._holders: dict[Hashable, _Holder] = {}
        self._queue: list[_Waiting] = []
        self._held = 0

    def take(self, owner: Hashable, weight: int = 1) -> HeldThread:
        """Take a thread for a call of ``owner``, waiting if necessary. Raises Busy."""
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
        """End a call of ``owner``, and admit waiting calls as far as there is room."""
        with self._lock:
            holder = self._holders[owner]
            holder.held -= 1
            holder.moved_at = self.clock()
            self._held -= 1
            self._let_in_waiting()
            if not holder.held and not holder.waiting:
                del self._holders[owner]

    def _has_room(self, holder: _Holder, weight: int) -> bool:
        """Whether the holder's share has room; always for its first call, which has a thread."""
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
            fitting = [
                waiting for waiting in self._queue if self._has_room(waiting.holder, waiting.weight)
            ]
            if not fitting:
                return
            # min() returns the first of equals, which is the call that has waited longest.
            first = min(fitting, key=lambda waiting: waiting.holder.held / waiting.weight)
            self._leave_queue(first)
            self._let_in(first.holder)
            first.let_in.set()

    def _wait(self, waiting: _Waiting) -> None:
        """Return when the call is admitted; raises Busy if that is not likely soon."""
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
        """Seconds that a call may still wait if none of the holder's calls ends."""
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
    """The threads of this process; a forked process has its own."""
    return _threads(settings.MILLRACE_WEB_THREADS, os.getpid())
