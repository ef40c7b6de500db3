"""Settles batches that have landed, and that their owners left unsettled."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Collection
from contextlib import suppress
from datetime import timedelta

from django.utils import timezone

from ingestion.batches.batch import BatchStats
from ingestion.batches.settle import close
from ingestion.landing import addresses, tally
from ingestion.models import Batch, BatchState, Source
from tenants.warehouse.errors import WarehouseError

#: A batch that is done and unsettled for this long was left by an owner that is gone.
LEFT_AFTER = timedelta(minutes=1)


def settle_left(sources: Collection[Source]) -> None:
    """Settle the batches that owners left behind. A table that can't be queried waits for later.

    Only for streams with offsets: for a queue, only its reader knows which messages may come again.
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
                close(tally.counted(addresses.place_of(source.table), by_source[source.pk]))
