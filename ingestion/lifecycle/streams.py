"""What is under way: leases of workers, and events taken over HTTP that have not landed."""

from __future__ import annotations

import time
from collections.abc import Mapping

from django.conf import settings
from django.db.models import Sum
from django.db.models.functions import Now

from ingestion.models import SpooledEvents, StreamPartition
from tenants.errors import StillBusy
from tenants.lifecycle.registry import Doomed
from tenants.rest.authentication import MEMORY_SECONDS

_LOOK = 0.2
#: Seconds beyond the end of a lease, after which a worker that is gone has none.
_GRACE = 5.0


class Streams:
    """Nobody consumes, and nothing waits to be consumed."""

    name = "Ingestion"

    def settle(self, doomed: Doomed) -> None:
        """Wait until no worker holds a partition: each lets go at its next heartbeat."""
        time.sleep(MEMORY_SECONDS)  # processes that have a key in memory take events until then
        until = time.monotonic() + settings.MILLRACE_LEASE_SECONDS + _GRACE
        while _held(doomed):
            if time.monotonic() > until:
                msg = f"Workers still hold streams of {doomed.slug}. Repeat it in a minute."
                raise StillBusy(msg)
            time.sleep(_LOOK)

    def count(self, doomed: Doomed) -> Mapping[str, int]:
        spool = SpooledEvents.objects.filter(partition__source__tenant=doomed.pk)
        waiting = spool.aggregate(events=Sum("count", default=0))
        return {"leases": _held(doomed), "events that wait": waiting["events"]}

    def remove(self, doomed: Doomed) -> list[str]:
        SpooledEvents.objects.filter(partition__source__tenant=doomed.pk).delete()
        return []


def _held(doomed: Doomed) -> int:
    return (
        StreamPartition.objects.filter(source__tenant=doomed.pk, lease_expires_at__gt=Now())
        .exclude(lease_owner="")
        .count()
    )
