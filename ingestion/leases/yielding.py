"""Whether a slice may go on when its time is over, and with which sources.

A slice ends so that others have their turn. Where nobody waits, going on spares the streams the
pause of closing one reader and opening the next: about a second in which events age. Who waits is a
source that nobody reads, or a connection that is behind and has no thread of this process. A source
that an operator has changed leaves it alone, and is read anew.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta

from django.db.models import Q
from django.db.models.functions import Now

from ingestion.leases.lease import new_owner, runnable
from ingestion.leases.rebalance import is_missed
from ingestion.models import Source

#: Work that has waited for so long did not find a free thread of any worker.
WAITED = timedelta(seconds=2)


def may_go_on(sources: Collection[Source]) -> bool:
    """Whether a slice that reads ``sources`` may take another turn at once."""
    return bool(sources) and not _is_anyone_waiting() and not is_missed(new_owner())


def _is_anyone_waiting() -> bool:
    since = Now() - WAITED
    due = Source.across_tenants.filter(runnable(), retry_at__lte=since, created_at__lte=since)
    return due.filter(Q(partitions__lease_expires_at__lte=since) | Q(partitions=None)).exists()


def changed(sources: Collection[Source]) -> set[int]:
    """Which of them an operator has changed since they were read, or their connection or table.

    Compared with what was read then, so that no two clocks are compared.
    """
    known = {one.pk: _stamp(one) for one in sources}
    found = (
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
    return {pk for pk, *stamp in found if tuple(stamp) != known[pk]}


def _stamp(source: Source) -> tuple[object, ...]:
    on, table = source.connection, source.table
    stamp = (table.generation, table.applied, table.version)
    return source.updated_at, on and on.updated_at, *stamp
