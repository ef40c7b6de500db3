"""Chooses the batches to insert next, by the tenants' weights; groups small batches."""

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

    ``is_shared``: the batches are typed together. Call ``ended`` when the insert is over, or is not
    made at all: a shared insert holds a permit until then.
    """

    candidates: list[Candidate]
    is_shared: bool
    ended: Callable[[], None]

    def drop_unfit(self) -> None:
        """Drop candidates whose buffer is empty by now, or too large for a shared insert."""
        self.candidates = [candidate for candidate in self.candidates if self._is_fit(candidate)]

    def _is_fit(self, candidate: Candidate) -> bool:
        if self.is_shared:
            return candidate.buffer.is_small(SMALL_ROWS, SMALL_BYTES)
        return bool(candidate.buffer.waiting)


class Chooser:
    """Chooses for one slice; ``woken`` is the event that wakes the slice."""

    def __init__(self, permits: Permits, woken: Event) -> None:
        self._permits, self._woken = permits, woken
        self._queue = FairQueue()

    def choose(self, readers: Collection[SourceReader], due: Due, room: int) -> list[Group]:
        """Choose up to ``room`` groups. Where a slice has several tenants, none takes all inserts.

        A shared insert serves many tenants, so it counts against none of them.
        """
        running = _running(readers)
        allowed = INSERTS if len({reader.tenant_id for reader in readers}) == 1 else INSERTS - 1
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
            for candidate in group.candidates:
                running[candidate.tenant_id] += not group.is_shared
                weight = candidate.reader.source.tenant.weight
                self._queue.charge(candidate.tenant_id, weight, candidate.buffer.bytes)
        return chosen

    def _permitted(self, candidates: list[Candidate]) -> Group | None:
        """A group of the candidates, or None if a shared insert gets no permit now."""
        if len(candidates) == 1:
            return Group(candidates, is_shared=False, ended=_nothing)
        if not self._permits.take(self._woken, min(waiting.since for waiting in candidates)):
            return None
        return Group(candidates, is_shared=True, ended=partial(self._permits.give, self._woken))

    def close(self) -> None:
        """Return all permits of the slice."""
        self._permits.forget(self._woken)


def _running(readers: Collection[SourceReader]) -> Counter[int]:
    """How many batches each tenant has under way."""
    return Counter(
        reader.tenant_id
        for reader in readers
        for buffer in reader.buffers.values()
        if buffer.under_way
    )


def _nothing() -> None:
    pass
