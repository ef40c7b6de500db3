"""Renews leases from a thread while their owner is busy and can't send heartbeats.

Before a reader is opened, a batch that an earlier owner left open may have to be finished: read
again, inserted again and counted, in one go. If that took longer than a lease lasts, the next owner
would begin it anew, and no owner would ever finish it.
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
    """Renew the leases of ``owner`` on ``partitions`` from a thread, while the block runs.

    Leases that were given back or lost are not renewed; the owner notices at its next heartbeat or
    statement. Each operation in the block needs a time limit of its own, because an owner that
    hangs would keep its leases for ever.
    """
    is_over = Event()
    thread = Thread(
        target=_renew, args=(owner, partitions, renew, is_over), name="leases", daemon=True
    )
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


def _renew(owner: str, partitions: Collection[int], renew: _Renewal, is_over: Event) -> None:
    try:
        while not is_over.wait(lease.BEAT):
            try:
                renew(owner, partitions)
            except Error as error:
                log.warning("Leases of %s could not be renewed: %s", owner, error)
                # The connection may be broken; the next attempt opens a new one.
                connection.close()
    finally:
        connection.close()
