"""Settling batches: what did not fit is asked of ClickHouse, and the batches are closed."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Collection, Mapping
from contextlib import suppress
from datetime import timedelta

from django.db.models import F
from django.utils import timezone

from ingestion.batches.batch import BatchStats
from ingestion.batches.settle import close
from ingestion.landing import inbox
from ingestion.landing.inbox import Address
from ingestion.models import Batch, BatchState, ConnectionKind, Source
from tenants.warehouse.errors import WarehouseError

#: A done batch that nobody has settled for so long was left by an owner that is gone.
LEFT_AFTER = timedelta(minutes=1)


def counted(at: Address, batches: Mapping[uuid.UUID, BatchStats]) -> dict[uuid.UUID, BatchStats]:
    """The same, with what of them did not fit. Raises WarehouseError."""
    unknown = [token for token, one in batches.items() if one.misfits is None]
    if not unknown:
        return dict(batches)
    short = _ended_short(unknown)
    held = inbox.counts(at, short) if short else {}
    found = inbox.quarantined(at, unknown)
    asked = {
        token: BatchStats(
            batches[token].ages, found.get(token, 0), held.get(token, 0) if token in short else None
        )
        for token in unknown
    }
    return {**batches, **asked}


def _ended_short(tokens: Collection[uuid.UUID]) -> set[uuid.UUID]:
    """Batches of queues that ended with fewer rows than were announced.

    A worker that was held up for longer than its lease may have inserted the rest after that.
    """
    short = Batch.across_tenants.filter(
        token__in=tokens,
        rows__lt=F("to_offset") - F("from_offset"),
        partition__source__connection__kind=ConnectionKind.RABBITMQ,
    )
    return set(short.values_list("token", flat=True))


def settle_left(sources: Collection[Source]) -> None:
    """Settle what owners left behind that are gone; a table that can't be asked is left for later.

    For streams with offsets; of a queue only a reader knows what may come again.
    """
    left = Batch.across_tenants.filter(
        partition__source__in=sources,
        state=BatchState.DONE,
        done_at__lt=timezone.now() - LEFT_AFTER,
    )
    by_source: dict[int, dict[uuid.UUID, BatchStats]] = defaultdict(dict)
    for source_id, token in left.values_list("partition__source", "token"):
        by_source[source_id][token] = BatchStats()
    for source in sources:
        if source.pk in by_source:
            with suppress(WarehouseError):
                close(counted(inbox.place_of(source.table), by_source[source.pk]))
