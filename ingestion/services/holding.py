"""Keeps workers away from sources, for operations that must not run while they are read."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from ingestion.batches.batch import Lease
from ingestion.errors import IngestionError
from ingestion.leases import lease
from ingestion.leases.heartbeat import kept
from ingestion.models import Source
from ingestion.services import sources

#: Seconds within which a worker releases a source that was paused.
PATIENCE = 20.0
_POLL = 0.2


class StillRead(IngestionError):
    """A worker did not release the source in time; nothing was changed."""


@dataclass(slots=True)
class Hold:
    """The leases that are held.

    ``half_way``: once set, the reason for which the sources stay paused if the block fails. While
    it is empty, a failing block has changed nothing, and the sources are resumed.
    """

    leases: list[Lease] = field(default_factory=list)
    half_way: str = ""


@contextmanager
def held(
    wanted: Collection[Source], reason: str, *, patience: float | None = None
) -> Iterator[Hold]:
    """Pause the sources for ``reason`` and hold all their leases until the end of the block.

    The leases are renewed meanwhile, so that no worker reads a source that somebody resumes by
    hand. A worker that reads one of them lands what it has under way and releases it at its next
    heartbeat; it continues with the other sources of its slice. Afterwards the sources that were
    active before are resumed, if they still exist. If the block fails half-way (``Hold``), all stay
    paused. Raises StillRead.
    """
    active, owner = [source for source in wanted if source.active], lease.new_owner()
    reasons = {source.pk: "" if source.active else source.paused_reason for source in wanted}
    hold, taken = Hold(), list[int]()
    deadline = time.monotonic() + (PATIENCE if patience is None else patience)
    try:
        for source in active:
            sources.pause(source, reason)
        with kept(owner, taken, lease.extend):
            for source in wanted:
                hold.leases += _taken(source, owner, deadline, reasons[source.pk])
                # In place: the thread that renews leases reads this list.
                taken[:] = [held_lease.partition_id for held_lease in hold.leases]
            yield hold
    except BaseException:
        _let_go(owner, hold)
        if hold.half_way:
            for source in wanted:
                sources.pause(source, hold.half_way)
        else:
            _resume(active)
        raise
    _let_go(owner, hold)
    _resume(active)


def _let_go(owner: str, hold: Hold) -> None:
    lease.release(owner, [held_lease.partition_id for held_lease in hold.leases])


def _resume(active: Collection[Source]) -> None:
    for source in active:
        # It may have been deleted or archived meanwhile.
        with suppress(Source.DoesNotExist, sources.Archived):
            sources.resume(source)


def _taken(source: Source, owner: str, deadline: float, reason: str) -> list[Lease]:
    while (leases := lease.take_all(source, owner)) is None:
        if time.monotonic() > deadline:
            raise StillRead(_busy(source, reason))
        time.sleep(_POLL)
    return leases


def _busy(source: Source, reason: str) -> str:
    """Says who holds the leases: a worker, or whatever paused the source before, for ``reason``."""
    if reason:
        return f"{source} is paused, and still held. {reason} Try again in a moment."
    return f"A worker is still reading {source}. Try again in a moment."
