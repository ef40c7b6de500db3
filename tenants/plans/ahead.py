"""Calls let in ahead of their coming, so that most calls of a busy key don't ask the cache.

A call that comes soon after another asks for some more at once: a small part of what is left of
every limit, so that at a limit each call asks for itself, and no limit is ever exceeded. A query's
slot stays with the process for a moment while most of the tenant's slots are free, for its next
query. What is not used within KEPT seconds goes back. So a slot may count as taken for KEPT seconds
longer than its query, and calls of another process may be refused while this one holds, for as
long, the last ``1 / PART`` of a minute's. A process that is killed takes what it holds along: calls
until their minute ends, slots until their lease does.

If each call asked for itself, it would take 534 µs of CPU instead of 319, and the cache ten times
its share (docs/contributing.md has how that was measured).
"""

from __future__ import annotations

import os
import threading
import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.util import Finalize
from pathlib import Path

from tenants.plans import line
from tenants.plans.line import CacheAway, pack

#: Seconds for which what is not used is kept.
KEPT = 0.025
#: Calls asked for at once: so many at the most, and such a part of what is left.
MOST, PART = 32, 64
#: Seconds from when a slot was taken, or asked for anew, in which it may serve another query.
SERVES = 5.0

_GIVE_BACK = (Path(__file__).parent / "give_back.lua").read_bytes()
_lock = threading.Lock()
_something_kept = threading.Event()
_swept_in = 0


@dataclass(slots=True, eq=False)
class Ahead:
    """Calls of one kind that are let in, and counted at ``keys``, but have not come.

    ``left`` of each window are beyond them, and they may come until ``ends``, on the clock of
    ``time.monotonic``, of each window.
    """

    keys: tuple[bytes, ...]
    calls: int = 0
    left: Sequence[int] = ()
    ends: Sequence[float] = ()
    #: As the cache told last; None where it was not asked yet.
    free_slots: int | None = None
    came_at: float = 0.0

    def take(self, now: float) -> list[int] | None:
        """Let one in: what admit.lua would have answered, or None where it must be asked."""
        with _lock:
            if self.free_slots is None:
                return None
            if self.keys:
                if not self.calls or now >= min(self.ends):
                    return None
                self.calls -= 1
            self.came_at = now
            return self._told(now)

    def number(self, now: float) -> int:
        """How many calls to ask for, that which has come included."""
        is_busy = now - self.came_at < KEPT
        self.came_at = now
        if not is_busy or self.calls or not self.left:
            return 1
        return max(1, min(MOST, *(one // PART for one in self.left)))

    def let_in(self, number: int, answer: Sequence[int], now: float) -> list[int]:
        """The cache let in ``number`` calls, of which one has come; what to tell that one."""
        windows = len(self.keys)
        with _lock:
            if self.calls and now >= min(self.ends):
                self.calls = 0
            self.calls += number - 1
            self.left = [answer[1 + 2 * at] for at in range(windows)]
            self.ends = [now + answer[2 + 2 * at] / 1000 for at in range(windows)]
            self.free_slots = answer[-2]
            if self.calls:
                _aheads.add(self)
            told = self._told(now)
        if number > 1:
            _keep()
        return told

    def _told(self, now: float) -> list[int]:
        told = [0]
        for left, end in zip(self.left, self.ends, strict=True):
            told += (left + self.calls, int((end - now) * 1000))
        return [*told, self.free_slots or 0, 0]


@dataclass(slots=True)
class Slot:
    """A query's place in ``key`` of the cache, by its name; when it was asked for, and laid by."""

    key: bytes
    name: bytes
    asked_at: float
    kept_at: float = 0.0

    def keep(self) -> None:
        """Lay it by for the next query."""
        self.kept_at = time.monotonic()
        with _lock:
            _slots[self.key].append(self)
        _keep()

    def free(self) -> None:
        """Give it back, and don't wait for the answer."""
        line.tell(b"*3\r\n" + pack(b"ZREM", self.key, self.name))


_aheads: set[Ahead] = set()
_slots: defaultdict[bytes, list[Slot]] = defaultdict(list)


def kept_slot(key: bytes, now: float) -> Slot | None:
    """One that was laid by, the latest."""
    if not _slots.get(key):
        return None
    with _lock:
        kept = _slots[key]
        return kept.pop() if kept and now - kept[-1].asked_at < SERVES else None


def new_slot(key: bytes, now: float) -> Slot:
    return Slot(key, os.urandom(8).hex().encode(), now)


def give_back(before: float | None = None) -> None:
    """Give back what has been kept since ``before``, or all; nothing where the cache is away."""
    before = time.monotonic() if before is None else before
    commands = []
    with _lock:
        for ahead in [one for one in _aheads if one.came_at <= before or not one.calls]:
            _aheads.discard(ahead)
            if ahead.calls and time.monotonic() < min(ahead.ends):
                parts = (b"%d" % len(ahead.keys), *ahead.keys, b"%d" % ahead.calls)
                commands.append(_packed(b"EVAL", _GIVE_BACK, *parts))
            ahead.calls = 0
        for key, kept in list(_slots.items()):
            names = [one.name for one in kept if one.kept_at <= before]
            _slots[key] = [one for one in kept if one.kept_at > before]
            if names:
                commands.append(_packed(b"ZREM", key, *names))
            if not _slots[key]:
                del _slots[key]
    with suppress(CacheAway):
        for one in commands:
            line.ask(one)


def _packed(*parts: bytes) -> bytes:
    return b"*%d\r\n" % len(parts) + pack(*parts)


# --- The thread that gives back -------------------------------------------------------------------


def _keep() -> None:
    if _swept_in != os.getpid():
        _start()
    if not _something_kept.is_set():
        _something_kept.set()


def _start() -> None:
    global _swept_in  # noqa: PLW0603 - a thread does not come along into a forked process
    with _lock:
        if _swept_in == os.getpid():
            return
        _swept_in = os.getpid()
    threading.Thread(target=_give_back_forever, name="limits", daemon=True).start()
    # A server's worker is a child of multiprocessing, where atexit's functions may not run.
    Finalize(None, give_back, exitpriority=1)


def _give_back_forever() -> None:
    while True:
        _something_kept.wait()
        time.sleep(KEPT)
        give_back(time.monotonic() - KEPT)
        with _lock:
            if not _aheads and not _slots:
                _something_kept.clear()


def _begin_anew() -> None:
    """In a process that was just forked: what is kept is its parent's."""
    global _lock  # noqa: PLW0603 - a lock that another thread held stays locked
    _lock = threading.Lock()
    _something_kept.clear()
    _aheads.clear()
    _slots.clear()


os.register_at_fork(after_in_child=_begin_anew)
