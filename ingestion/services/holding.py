"""Taking a source out of the workers' hands, for what must not happen while it is read."""

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

#: Seconds in which a worker lets go of a source that was paused.
PATIENCE = 20.0
_POLL = 0.2


class StillRead(IngestionError):
    """A worker has not let go of the source in time; nothing was changed."""


@dataclass(slots=True)
class Hold:
    """What is held. ``half_way``: why the sources stay paused where the block fails from now on.

    While it is empty, a block that fails has changed nothing, and the sources go on.
    """

    leases: list[Lease] = field(default_factory=list)
    half_way: str = ""


@contextmanager
def held(
    wanted: Collection[Source], reason: str, *, patience: float | None = None
) -> Iterator[Hold]:
    """All leases of the sources, which are paused meanwhile, for ``reason``.

    The leases are renewed for as long as the block takes, so that nobody reads a source that is
    resumed by hand meanwhile. A worker that reads one lands what it has under way, and lets go at
    its next heartbeat; the other sources of its slice go on. Afterwards those go on that were not
    paused before, if they are still there; all stay paused where the block fails half-way
    (``Hold``). Raises StillRead.
    """
    active, owner = [one for one in wanted if one.active], lease.new_owner()
    reasons = {one.pk: "" if one.active else one.paused_reason for one in wanted}
    hold, taken = Hold(), list[int]()
    deadline = time.monotonic() + (PATIENCE if patience is None else patience)
    try:
        for one in active:
            sources.pause(one, reason)
        with kept(owner, taken, lease.extend):
            for one in wanted:
                hold.leases += _taken(one, owner, deadline, reasons[one.pk])
                taken[:] = [each.partition_id for each in hold.leases]
            yield hold
    except BaseException:
        _let_go(owner, hold)
        if hold.half_way:
            for one in wanted:
                sources.pause(one, hold.half_way)
        else:
            _resume(active)
        raise
    _let_go(owner, hold)
    _resume(active)


def _let_go(owner: str, hold: Hold) -> None:
    lease.release(owner, [one.partition_id for one in hold.leases])


def _resume(active: Collection[Source]) -> None:
    for one in active:
        # It was deleted, or has gone to the archive meanwhile.
        with suppress(Source.DoesNotExist, sources.Archived):
            sources.resume(one)


def _taken(source: Source, owner: str, deadline: float, reason: str) -> list[Lease]:
    while (leases := lease.take_all(source, owner)) is None:
        if time.monotonic() > deadline:
            raise StillRead(_busy(source, reason))
        time.sleep(_POLL)
    return leases


def _busy(source: Source, reason: str) -> str:
    """Who has its leases: a worker, or whatever had paused it before for ``reason``."""
    if reason:
        return f"{source} is held by another command. {reason} Try again when that has ended."
    return f"{source} is still being read by a worker. Try again in a moment."
