"""Ends what is under way for a tenant: workers' leases, and HTTP events that have not landed."""

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
#: Seconds to wait beyond a lease's length; the lease of a dead worker has expired by then.
_GRACE = 5.0


class Streams:
    """A tenant's leases and spooled events. When they are gone, nothing is consumed any more."""

    name = "Ingestion"

    def settle(self, doomed: Doomed) -> None:
        """Wait until no worker holds a partition: each gives up its leases at its next heartbeat.

        Raises StillBusy if a worker still holds one.
        """
        time.sleep(MEMORY_SECONDS)  # processes that cache a key accept events until then
        until = time.monotonic() + settings.MILLRACE_LEASE_SECONDS + _GRACE
        while _held(doomed):
            if time.monotonic() > until:
                msg = f"Workers still hold streams of {doomed.slug}. Try again in a minute."
                raise StillBusy(msg)
            time.sleep(_LOOK)

    def count(self, doomed: Doomed) -> Mapping[str, int]:
        """How many leases workers hold, and how many spooled events have not landed."""
        spool = SpooledEvents.objects.filter(partition__source__tenant=doomed.pk)
        waiting = spool.aggregate(events=Sum("count", default=0))
        return {"leases": _held(doomed), "events that wait": waiting["events"]}

    def remove(self, doomed: Doomed) -> list[str]:
        """Delete the spooled events."""
        SpooledEvents.objects.filter(partition__source__tenant=doomed.pk).delete()
        return []


def _held(doomed: Doomed) -> int:
    return (
        StreamPartition.objects.filter(source__tenant=doomed.pk, lease_expires_at__gt=Now())
        .exclude(lease_owner="")
        .count()
    )
