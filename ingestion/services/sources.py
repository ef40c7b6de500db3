"""Sources: pausing, resuming, trying again, and the archive."""

from __future__ import annotations

from django.db import transaction
from django.db.models.functions import Now
from django.utils import timezone

from ingestion.errors import IngestionError
from ingestion.models import Source

_ARCHIVED = "It is archived: its rows and books stay, and nothing more is read."


class Archived(IngestionError):
    """A source in the archive is not resumed, and takes no events."""


def pause(source: Source, reason: str = "") -> None:
    """Consume no more of it; a slice under way lets go of it at its next heartbeat.

    ``reason`` says why Millrace did so by itself. What is not read stays at the broker.
    """
    source.pause(reason)


def resume(source: Source) -> None:
    """Go on where it was paused; towards its limit, misfits count from now on. Raises Archived."""
    with transaction.atomic():
        # What stands counts: another may have archived it since it was read.
        changed = Source.across_tenants.filter(pk=source.pk, archived_at=None).update(
            active=True, paused_reason="", counted_from=Now()
        )
        source.refresh_from_db(fields=["archived_at"])
        if not changed:
            msg = (
                f"{source} is archived. Take it out of the archive first: on its page in the "
                f"admin, by the API, or by manage.py restore {source}."
            )
            raise Archived(msg)
        retry(source)
    source.refresh_from_db(fields=["active", "paused_reason", "counted_from"])


def retry(source: Source) -> None:
    """Consume it at the next tick, however long its last error would have it wait."""
    Source.across_tenants.filter(pk=source.pk).update(retry_at=timezone.now(), attempts=0)
    source.refresh_from_db(fields=["retry_at", "attempts"])


def archive(source: Source) -> None:
    """Read it no more, and keep all that it has landed. To repeat it changes nothing."""
    Source.across_tenants.filter(pk=source.pk, archived_at=None).update(
        active=False, paused_reason=_ARCHIVED, archived_at=Now()
    )
    source.refresh_from_db(fields=["active", "paused_reason", "archived_at"])


def restore(source: Source) -> None:
    """Take it out of the archive. It stays paused, at the position where it was.

    To repeat it changes nothing.
    """
    archived = Source.across_tenants.filter(pk=source.pk, archived_at__isnull=False)
    archived.update(archived_at=None, paused_reason="")
    source.refresh_from_db(fields=["active", "paused_reason", "archived_at"])
