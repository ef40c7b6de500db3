"""Sources: pausing, resuming, trying again."""

from __future__ import annotations

from django.db import transaction
from django.db.models.functions import Now
from django.utils import timezone

from ingestion.models import Source


def pause(source: Source, reason: str = "") -> None:
    """Consume no more of it; a slice under way lets go of it at its next heartbeat.

    ``reason`` says why Millrace did so by itself. What is not read stays at the broker.
    """
    changed = {"active": False, "paused_reason": reason}
    Source.across_tenants.filter(pk=source.pk).update(**changed)
    source.active, source.paused_reason = False, reason


def resume(source: Source) -> None:
    """Go on where it was paused; towards its limit, misfits count from now on."""
    with transaction.atomic():
        Source.across_tenants.filter(pk=source.pk).update(
            active=True, paused_reason="", counted_from=Now()
        )
        retry(source)
    source.refresh_from_db(fields=["active", "paused_reason", "counted_from"])


def retry(source: Source) -> None:
    """Consume it at the next tick, however long its last error would have it wait."""
    Source.across_tenants.filter(pk=source.pk).update(retry_at=timezone.now(), attempts=0)
    source.refresh_from_db(fields=["retry_at", "attempts"])
