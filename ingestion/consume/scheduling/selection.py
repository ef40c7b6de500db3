"""Whose batches are inserted next: by the tenants' weights, small ones of like tables together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial
from threading import Event

from ingestion.consume.scheduling.batch_policy import INSERTS, SMALL_BYTES, SMALL_ROWS
from ingestion.consume.scheduling.candidate import Candidate
from ingestion.consume.scheduling.due import Due
from ingestion.consume.scheduling.fair_queue import FairQueue, Queued
from ingestion.consume.scheduling.grouping import groups
from ingestion.consume.scheduling.insert_slots import Permits
from ingestion.consume.source_reader import SourceReader


@dataclass(slots=True)
class Group:
    """The batches of one insert.

    ``is_shared``: of several tables, typed together. ``ended`` is to be called when the insert is
    over, or has come to nothing: what is shared holds a permit until then.
    """

    members: list[Candidate]
    is_shared: bool
    ended: Callable[[], None]

    def drop_unfit(self) -> None:
        """Leave out what has left since, or is too large now to go with others."""
        self.members = [one for one in self.members if self._is_fit(one)]

    def _is_fit(self, member: Candidate) -> bool:
        if self.is_shared:
            return member.buffer.is_small(SMALL_ROWS, SMALL_BYTES)
        return bool(member.buffer.waiting)


class Chooser:
    """For one slice; ``woken`` is the event that wakes it."""

    def __init__(self, permits: Permits, woken: Event) -> None:
        self._permits, self._woken = permits, woken
        self._queue = FairQueue()

    def choose(self, readers: Collection[SourceReader], due: Due, room: int) -> list[Group]:
        """Up to ``room`` groups; no tenant ever takes all inserts where there are others."""
        running = _running(readers)
        allowed = INSERTS if len({one.tenant_id for one in readers}) == 1 else INSERTS - 1
        waiting, chosen = list(groups(due.batches, due.company)), list[Group]()
        while len(chosen) < room:
            waiting = [
                alike
                for alike in waiting
                if len(alike) > 1 or running[alike[0].tenant_id] < allowed
            ]
            if not waiting:
                break
            first = [Queued(alike[0].tenant_id, alike[0].since) for alike in waiting]
            group = self._permitted(waiting.pop(self._queue.choose(first)))
            if group is None:
                continue
            chosen.append(group)
            for member in group.members:
                running[member.tenant_id] += not group.is_shared
                weight = member.reader.source.tenant.weight
                self._queue.charge(member.tenant_id, weight, member.buffer.bytes)
        return chosen

    def _permitted(self, members: list[Candidate]) -> Group | None:
        if len(members) == 1:
            return Group(members, is_shared=False, ended=_nothing)
        if not self._permits.take(self._woken, min(one.since for one in members)):
            return None
        return Group(members, is_shared=True, ended=partial(self._permits.give, self._woken))

    def close(self) -> None:
        """Give back all permits of the slice."""
        self._permits.forget(self._woken)


def _running(readers: Collection[SourceReader]) -> Counter[int]:
    """Batches under way, by tenant."""
    return Counter(
        reader.tenant_id
        for reader in readers
        for buffer in reader.buffers.values()
        if buffer.under_way
    )


def _nothing() -> None:
    pass
