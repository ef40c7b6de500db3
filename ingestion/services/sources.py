"""Pauses, resumes, retries, archives and restores sources."""

from __future__ import annotations

from django.db import transaction
from django.db.models.functions import Now
from django.utils import timezone

from ingestion.errors import IngestionError
from ingestion.models import Source
from ingestion.services import tables

_ARCHIVED = "It is archived: its rows and books stay, and it is no longer read."


class Archived(IngestionError):
    """An archived source can't be resumed and accepts no events."""


def pause(source: Source, reason: str = "") -> None:
    """Stop consuming the source; a running slice releases it at its next heartbeat.

    ``reason`` is set if Millrace itself pauses it. Unread messages stay at the broker.
    """
    source.pause(reason)


def resume(source: Source) -> None:
    """Continue where it was paused, and count misfits anew; raises Archived."""
    with transaction.atomic():
        # Filter on the stored row: another process may have archived it since it was loaded.
        changed = Source.across_tenants.filter(pk=source.pk, archived_at=None).update(
            active=True, paused_reason="", counted_from=Now()
        )
        source.refresh_from_db(fields=["archived_at"])
        if not changed:
            msg = (
                f"{source} is archived. Restore it first: on its page in the admin, over the API, "
                f"or with manage.py restore {source}."
            )
            raise Archived(msg)
        retry(source)
    source.refresh_from_db(fields=["active", "paused_reason", "counted_from"])


def retry(source: Source) -> None:
    """Consume it at the next tick, without waiting out the delay after its last error."""
    Source.across_tenants.filter(pk=source.pk).update(retry_at=timezone.now(), attempts=0)
    source.refresh_from_db(fields=["retry_at", "attempts"])


def check_filter(source: Source) -> None:
    """Raise ``ddl.SpecError`` if its filter is none for its table.

    Call it before saving. Raises WarehouseError if ClickHouse does not answer.
    """
    if source.filter:
        tables.check_filter(source.table, source.name, source.filter)


def request_filter(source: Source, before: str = "", table_before: int | None = None) -> None:
    """Request that messages are typed by its new filter, or that its new table has it.

    ``before`` and ``table_before``: the filter and the key of the table that were saved.

    Call it in the transaction that saves the source. Messages that are read until ClickHouse has
    applied it are filtered as before.
    """
    is_moved = bool(source.filter) and source.table_id != table_before
    if source.filter != before or is_moved:
        tables.request_table(source.table)


def archive(source: Source) -> None:
    """Stop reading it and keep everything it has landed. Repeating this changes nothing."""
    Source.across_tenants.filter(pk=source.pk, archived_at=None).update(
        active=False, paused_reason=_ARCHIVED, archived_at=Now()
    )
    source.refresh_from_db(fields=["active", "paused_reason", "archived_at"])


def restore(source: Source) -> None:
    """Take it out of the archive; it stays paused at its position. Repeating changes nothing."""
    archived = Source.across_tenants.filter(pk=source.pk, archived_at__isnull=False)
    archived.update(archived_at=None, paused_reason="")
    source.refresh_from_db(fields=["active", "paused_reason", "archived_at"])
