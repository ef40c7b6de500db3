"""Leases kept while their owner is busy with one thing, and comes to no heartbeat of its own.

Before a reader is opened, a batch that an earlier owner left open may have to be ended:
read again, inserted again and counted, in one go. Where that takes longer than a lease lasts, the
next owner would begin with it anew, and none would ever come through.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from threading import Event, Thread

from django.db import Error, connection

from ingestion.leases import lease

log = logging.getLogger(__name__)


_Renewal = Callable[[str, Collection[int]], object]


@contextmanager
def kept(owner: str, partitions: Collection[int], renew: _Renewal = lease.renew) -> Iterator[None]:
    """Renew the leases of ``owner`` on ``partitions`` by a thread, for as long as the block takes.

    What was given back or has gone to another stays as it is; the owner finds out as ever. Each
    step of what it is busy with must have a time limit of its own, or nobody else gets its turn.
    """
    over = Event()
    thread = Thread(
        target=_renew, args=(owner, partitions, renew, over), name="leases", daemon=True
    )
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _renew(owner: str, partitions: Collection[int], renew: _Renewal, over: Event) -> None:
    try:
        while not over.wait(lease.BEAT):
            try:
                renew(owner, partitions)
            except Error as error:
                log.warning("Leases of %s could not be renewed: %s", owner, error)
                connection.close()
    finally:
        connection.close()
