from __future__ import annotations

import time
from collections.abc import Callable
from threading import Lock
from typing import Generic, TypeVar

from cachetools import TLRUCache

K = TypeVar("K")
V = TypeVar("V")


class Recent(Generic[K, V]):
    """What was looked up less than ``seconds`` ago, in this process.

    So short a memory needs no invalidation: a change is seen everywhere within ``seconds``. At
    most ``size`` values are kept: those that were asked for last.
    """

    def __init__(
        self,
        seconds: float,
        size: int = 10_000,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._lock = Lock()
        self._kept: TLRUCache[K, tuple[float, V]] = TLRUCache(
            size, lambda _key, kept, _now: kept[0] + seconds, timer=clock
        )

    def get(self, key: K, look_up: Callable[[], V]) -> V:
        """The value of ``key``, by ``look_up`` where none is kept. None is kept like any other."""
        with self._lock:
            kept = self._kept.get(key)
        if kept is None:
            # The age counts from before the look-up: what it read may be as old as its beginning.
            kept = self._clock(), look_up()
            with self._lock:
                self._kept[key] = kept
        return kept[1]

    def __contains__(self, key: K) -> bool:
        with self._lock:
            return key in self._kept

    def forget(self) -> None:
        with self._lock:
            self._kept.clear()
