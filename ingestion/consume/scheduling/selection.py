"""Whose batches are inserted next: by the tenants' weights, small ones of like tables together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from functools import partial
from threading import Event

from ingestion.consume.insert_pool import SMALL, THREADS
from ingestion.consume.scheduling.fair_queue import Candidate, FairQueue
from ingestion.consume.scheduling.grouping import SMALL_BYTES, Pair, groups
from ingestion.consume.scheduling.insert_slots import Permits
from ingestion.consume.source_reader import SourceReader


@dataclass(slots=True)
class Group:
    """The batches of one insert.

    ``is_shared``: of several tables, typed together. ``ended`` is to be called when the insert is
    over, or has come to nothing: what is shared holds a permit until then.
    """

    pairs: list[Pair]
    is_shared: bool
    ended: Callable[[], None]

    def drop_unfit(self) -> None:
        """Leave out what has left since, or is too large now to go with others."""
        self.pairs = [one for one in self.pairs if self._is_fit(one)]

    def _is_fit(self, pair: Pair) -> bool:
        _, buffer = pair
        return buffer.is_small(SMALL, SMALL_BYTES) if self.is_shared else bool(buffer.waiting)


class Chooser:
    """For one slice; ``woken`` is the event that wakes it."""

    def __init__(self, permits: Permits, woken: Event) -> None:
        self._permits, self._woken = permits, woken
        self._queue = FairQueue()

    def choose(
        self,
        readers: Collection[SourceReader],
        due: Iterable[Pair],
        company: Iterable[Pair],
        room: int,
    ) -> list[Group]:
        """Up to ``room`` groups; no tenant ever takes all threads where there are others."""
        buffers = [
            (reader.tenant_id, buffer) for reader in readers for buffer in reader.buffers.values()
        ]
        running = Counter(tenant_id for tenant_id, buffer in buffers if buffer.under_way)
        allowed = THREADS if len({one.tenant_id for one in readers}) == 1 else THREADS - 1
        waiting, chosen = list(groups(due, company)), list[Group]()
        while len(chosen) < room:
            waiting = [
                one for one in waiting if len(one) > 1 or running[one[0][0].tenant_id] < allowed
            ]
            if not waiting:
                break
            first = [Candidate(one[0][0].tenant_id, one[0][1].since) for one in waiting]
            group = self._permitted(waiting.pop(self._queue.choose(first)))
            if group is None:
                continue
            chosen.append(group)
            for reader, buffer in group.pairs:
                running[reader.tenant_id] += not group.is_shared
                self._queue.charge(reader.tenant_id, reader.source.tenant.weight, buffer.bytes)
        return chosen

    def _permitted(self, pairs: list[Pair]) -> Group | None:
        if len(pairs) == 1:
            return Group(pairs, is_shared=False, ended=_nothing)
        if not self._permits.take(self._woken, min(buffer.since for _, buffer in pairs)):
            return None
        return Group(pairs, is_shared=True, ended=partial(self._permits.give, self._woken))


def _nothing() -> None:
    pass
