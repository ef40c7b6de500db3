"""Sources: pausing, resuming, trying again."""

from __future__ import annotations

from django.db import transaction
from django.utils import timezone

from ingestion.models import Source


def pause(source: Source) -> None:
    """Consume no more of it; a slice under way lets go of it at its next heartbeat."""
    Source.objects.filter(pk=source.pk).update(active=False)
    source.active = False


def resume(source: Source) -> None:
    """Go on where it was paused."""
    with transaction.atomic():
        Source.objects.filter(pk=source.pk).update(active=True)
        retry(source)
    source.active = True


def retry(source: Source) -> None:
    """Consume it at the next tick, however long its last error would have it wait."""
    Source.objects.filter(pk=source.pk).update(retry_at=timezone.now(), attempts=0)
    source.refresh_from_db(fields=["retry_at", "attempts"])
