"""Whether a slice may go on when its time is over.

A slice ends so that others have their turn, and so that what an operator has changed is read anew.
Where nobody waits and nothing has changed, going on spares the stream the pause of closing one
reader and opening the next: about a second in which events age.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta

from django.db.models import Q
from django.db.models.functions import Now

from ingestion.consume.lease import runnable
from ingestion.models import Source

#: Work that has waited for so long did not find a free thread of any worker.
WAITED = timedelta(seconds=2)


def may_go_on(sources: Collection[Source]) -> bool:
    """Whether a slice that reads ``sources`` may take another turn at once."""
    return not _is_anyone_waiting() and not _has_changed(sources)


def _is_anyone_waiting() -> bool:
    since = Now() - WAITED
    due = Source.objects.filter(runnable(), retry_at__lte=since, created_at__lte=since)
    return due.filter(Q(partitions__lease_expires_at__lte=since) | Q(partitions=None)).exists()


def _has_changed(sources: Collection[Source]) -> bool:
    """Compared with what was read when the slice began, so that no two clocks are compared."""
    known = {
        (one.pk, one.updated_at, one.connection and one.connection.updated_at) for one in sources
    }
    found = Source.objects.filter(pk__in=[one.pk for one in sources]).values_list(
        "pk", "updated_at", "connection__updated_at"
    )
    return set(found) != known
