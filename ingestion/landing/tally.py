"""Completes the statistics of batches: how many rows did not fit, and how many were filtered."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping

from django.db.models import F

from ingestion.batches.batch import BatchStats
from ingestion.landing import lookups
from ingestion.landing.addresses import Address
from ingestion.models import Batch, ConnectionKind


def counted(
    address: Address, batches: Mapping[uuid.UUID, BatchStats]
) -> dict[uuid.UUID, BatchStats]:
    """The same batches, with ``misfits`` and ``filtered`` of each. Raises WarehouseError.

    ClickHouse is asked where ``misfits`` is None.

    ``rows`` is set for a queue's batch that ended short: more of it may have landed since.
    """
    unknown = [token for token, stats in batches.items() if stats.misfits is None]
    if not unknown:
        return dict(batches)
    short = _ended_short(unknown)
    held = lookups.counts(address, short) if short else {}
    misfits = lookups.quarantined(address, unknown)
    left_out = lookups.filtered(address, unknown)
    asked = {
        token: BatchStats(
            batches[token].ages,
            misfits.get(token, 0),
            held.get(token, 0) if token in short else None,
            left_out.get(token, 0),
        )
        for token in unknown
    }
    return {**batches, **asked}


def _ended_short(tokens: Collection[uuid.UUID]) -> set[uuid.UUID]:
    """Batches of queues that ended with fewer rows than were announced.

    A worker that was held up for longer than its lease may have inserted the rest afterwards.
    """
    short = Batch.across_tenants.filter(
        token__in=tokens,
        rows__lt=F("to_offset") - F("from_offset"),
        partition__source__connection__kind=ConnectionKind.RABBITMQ,
    )
    return set(short.values_list("token", flat=True))
