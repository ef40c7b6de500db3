"""Decides whether a slice may go on when its time is over, and which sources it must give up.

A slice ends so that others have their turn. If nobody waits, going on spares the streams the pause
between closing one reader and opening the next: about a second in which events age. Somebody waits
if nobody reads a source, or if a connection is behind and has no thread of this process. A source
that an operator has changed leaves the slice, and is then read anew; the others stay.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta

from django.db.models import Q
from django.db.models.functions import Now

from ingestion.leases.lease import new_owner, runnable
from ingestion.leases.rebalance import is_missed
from ingestion.models import Source

#: A source that has waited this long has found no free thread in any worker.
WAITED = timedelta(seconds=2)


def may_go_on(sources: Collection[Source]) -> bool:
    """Whether a slice that reads ``sources`` may continue without a pause."""
    return bool(sources) and not _is_anyone_waiting() and not is_missed(new_owner())


def _is_anyone_waiting() -> bool:
    since = Now() - WAITED
    due = Source.across_tenants.filter(runnable(), retry_at__lte=since, created_at__lte=since)
    return due.filter(Q(partitions__lease_expires_at__lte=since) | Q(partitions=None)).exists()


def changed(sources: Collection[Source]) -> set[int]:
    """Keys of sources that have changed since they were read, or whose connection or table has.

    Compares with the stamps that were read then, so that no two clocks are compared.
    """
    known = {source.pk: _stamp(source) for source in sources}
    current = (
        Source.across_tenants.filter(pk__in=known)
        .order_by()
        .values_list(
            "pk",
            "updated_at",
            "connection__updated_at",
            "table__generation",
            "table__applied",
            "table__version",
        )
    )
    return {pk for pk, *stamp in current if tuple(stamp) != known[pk]}


def _stamp(source: Source) -> tuple[object, ...]:
    connection, table = source.connection, source.table
    stamp = (table.generation, table.applied, table.version)
    return source.updated_at, connection and connection.updated_at, *stamp
