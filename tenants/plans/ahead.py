"""Admits calls ahead of time, so that most calls of a busy key don't ask the cache.

A call that comes soon after another asks for more calls at once: for a small part of what is left
of every limit. So near a limit each call asks for itself, and no limit is ever exceeded. While most
of the tenant's slots are free, a process keeps a query's slot for a moment, for its next query.
What is not used within KEPT seconds goes back. So a slot may count as taken for KEPT seconds longer
than its query, and another process's calls may be refused for that long while this process holds
the last ``1 / PART`` of a minute's calls. If a process is killed, what it holds is lost: calls
until their minute ends, slots until their lease ends.

If each call asked the cache, it would cost 534 µs of CPU instead of 319, and the cache ten times as
much (docs/contributing.md says how that was measured).
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

#: Seconds to keep unused calls and slots.
KEPT = 0.025
#: Calls to ask for at once: MOST at most, and at most 1 / PART of what is left.
MOST, PART = 32, 64
#: Seconds after a slot was taken or renewed in which it may serve another query.
SERVES = 5.0

_GIVE_BACK = (Path(__file__).parent / "give_back.lua").read_bytes()
_lock = threading.Lock()
_something_kept = threading.Event()
_swept_in = 0


@dataclass(slots=True, eq=False)
class Ahead:
    """Calls of one kind that are admitted and counted at ``keys`` but have not come yet.

    For each window, ``left`` is how many calls are left beyond them, and ``ends`` is when the
    window ends, on the clock of ``time.monotonic``.
    """

    keys: tuple[bytes, ...]
    calls: int = 0
    left: Sequence[int] = ()
    ends: Sequence[float] = ()
    #: As the cache last reported; None until it was asked.
    free_slots: int | None = None
    came_at: float = 0.0

    def take(self, now: float) -> list[int] | None:
        """Admit one call: the answer as admit.lua would give it, or None if it must be asked."""
        with _lock:
            if self.free_slots is None:
                return None
            if self.keys:
                if not self.calls or now >= min(self.ends):
                    return None
                self.calls -= 1
            self.came_at = now
            return self._answer(now)

    def number(self, now: float) -> int:
        """How many calls to ask for, including the one that has come."""
        is_busy = now - self.came_at < KEPT
        self.came_at = now
        if not is_busy or self.calls or not self.left:
            return 1
        return max(1, min(MOST, *(left // PART for left in self.left)))

    def let_in(self, number: int, answer: Sequence[int], now: float) -> list[int]:
        """Store that the cache admitted ``number`` calls; returns the current one's answer."""
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
            current = self._answer(now)
        if number > 1:
            _keep()
        return current

    def _answer(self, now: float) -> list[int]:
        numbers = [0]
        for left, end in zip(self.left, self.ends, strict=True):
            numbers += (left + self.calls, int((end - now) * 1000))
        return [*numbers, self.free_slots or 0, 0]


@dataclass(slots=True)
class Slot:
    """A query's slot, the member ``name`` of ``key`` in the cache.

    ``asked_at`` and ``kept_at`` say when it was taken or renewed, and when it was last put aside.
    """

    key: bytes
    name: bytes
    asked_at: float
    kept_at: float = 0.0

    def keep(self) -> None:
        """Put it aside for the next query."""
        self.kept_at = time.monotonic()
        with _lock:
            _slots[self.key].append(self)
        _keep()

    def free(self) -> None:
        """Give it back without waiting for the answer."""
        line.tell(b"*3\r\n" + pack(b"ZREM", self.key, self.name))


_aheads: set[Ahead] = set()
_slots: defaultdict[bytes, list[Slot]] = defaultdict(list)


def kept_slot(key: bytes, now: float) -> Slot | None:
    """The slot that was put aside last, if there is one that may still serve a query."""
    if not _slots.get(key):
        return None
    with _lock:
        kept = _slots[key]
        return kept.pop() if kept and now - kept[-1].asked_at < SERVES else None


def new_slot(key: bytes, now: float) -> Slot:
    return Slot(key, os.urandom(8).hex().encode(), now)


def give_back(before: float | None = None) -> None:
    """Give back what was kept at ``before`` or earlier (default: all), unless the cache is down."""
    before = time.monotonic() if before is None else before
    commands = []
    with _lock:
        for ahead in [kept for kept in _aheads if kept.came_at <= before or not kept.calls]:
            _aheads.discard(ahead)
            if ahead.calls and time.monotonic() < min(ahead.ends):
                parts = (b"%d" % len(ahead.keys), *ahead.keys, b"%d" % ahead.calls)
                commands.append(_packed(b"EVAL", _GIVE_BACK, *parts))
            ahead.calls = 0
        for key, kept in list(_slots.items()):
            names = [slot.name for slot in kept if slot.kept_at <= before]
            _slots[key] = [slot for slot in kept if slot.kept_at > before]
            if names:
                commands.append(_packed(b"ZREM", key, *names))
            if not _slots[key]:
                del _slots[key]
    with suppress(CacheAway):
        for command in commands:
            line.ask(command)


def _packed(*parts: bytes) -> bytes:
    return b"*%d\r\n" % len(parts) + pack(*parts)


# --- The thread that gives back -------------------------------------------------------------------


def _keep() -> None:
    if _swept_in != os.getpid():
        _start()
    if not _something_kept.is_set():
        _something_kept.set()


def _start() -> None:
    global _swept_in  # noqa: PLW0603 - a forked process does not inherit the thread
    with _lock:
        if _swept_in == os.getpid():
            return
        _swept_in = os.getpid()
    threading.Thread(target=_give_back_forever, name="limits", daemon=True).start()
    # A server's worker is a multiprocessing child, where atexit functions may not run.
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
    """Forget everything after a fork: it belongs to the parent process."""
    global _lock  # noqa: PLW0603 - a lock that another thread held at the fork stays locked
    _lock = threading.Lock()
    _something_kept.clear()
    _aheads.clear()
    _slots.clear()


os.register_at_fork(after_in_child=_begin_anew)
