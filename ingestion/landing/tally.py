"""How many rows of a batch fitted: ClickHouse is asked of those of which nobody knows."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping

from django.db.models import F

from ingestion.batches.batch import BatchStats
from ingestion.landing import lookups
from ingestion.landing.addresses import Address
from ingestion.models import Batch, ConnectionKind


def counted(at: Address, batches: Mapping[uuid.UUID, BatchStats]) -> dict[uuid.UUID, BatchStats]:
    """The same, with what of them did not fit. Raises WarehouseError."""
    unknown = [token for token, one in batches.items() if one.misfits is None]
    if not unknown:
        return dict(batches)
    short = _ended_short(unknown)
    held = lookups.counts(at, short) if short else {}
    found = lookups.quarantined(at, unknown)
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
