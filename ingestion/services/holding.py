"""Taking a source out of the workers' hands, for what must not happen while it is read."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager

from ingestion.consume import lease
from ingestion.consume.lease import Lease
from ingestion.errors import IngestionError
from ingestion.models import Source
from ingestion.services import sources

#: Seconds in which a worker lets go of a source that was paused.
PATIENCE = 20.0
_POLL = 0.2


class StillRead(IngestionError):
    """A worker has not let go of the source in time; nothing was changed."""


@contextmanager
def held(
    wanted: Collection[Source], reason: str, *, patience: float | None = None
) -> Iterator[list[Lease]]:
    """All leases of the sources, which are paused meanwhile, for ``reason``.

    A worker that reads one lands what it has under way, and lets go at its next heartbeat; the
    other sources of its slice go on. Afterwards those go on that were not paused before, if they
    are still there. Raises StillRead.
    """
    active, owner = [one for one in wanted if one.active], lease.new_owner()
    for one in active:
        sources.pause(one, reason)
    leases: list[Lease] = []
    try:
        deadline = time.monotonic() + (PATIENCE if patience is None else patience)
        for one in wanted:
            leases += _taken(one, owner, deadline)
        yield leases
    finally:
        lease.release(owner, [one.partition_id for one in leases])
        for one in active:
            if Source.across_tenants.filter(pk=one.pk, archived_at=None).exists():
                sources.resume(one)


def _taken(source: Source, owner: str, deadline: float) -> list[Lease]:
    while (leases := lease.take_all(source, owner)) is None:
        if time.monotonic() > deadline:
            msg = f"{source} is still being read by a worker. Try again in a moment."
            raise StillRead(msg)
        time.sleep(_POLL)
    return leases
