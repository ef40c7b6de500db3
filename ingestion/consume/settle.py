"""Settling: the broker knows that a batch is done, so its rows are counted and it is closed.

Counting here, once for all batches of a second, keeps the path of a batch short: one query on the
quarantine tells how many rows did not fit. A batch is counted when its state goes from ``done`` to
``settled``, in the same statement, so that no crash counts it twice or not at all.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection
from datetime import timedelta

from django.db import connection
from django.utils import timezone

from ingestion.consume import inbox
from ingestion.consume.inbox import Address
from ingestion.models import Batch, BatchState, Source

_SETTLE = """
WITH counted AS (
    SELECT * FROM unnest(%(tokens)s::uuid[], %(quarantined)s::bigint[]) AS c(token, quarantined)
), settled AS (
    UPDATE ingestion_batch b SET state = 'settled', quarantined = c.quarantined
    FROM counted c WHERE b.token = c.token AND b.state = 'done'
    RETURNING b.partition_id, b.rows, b.quarantined
), summed AS (
    SELECT partition_id, sum(rows) AS rows, sum(quarantined) AS quarantined
    FROM settled GROUP BY partition_id
)
UPDATE ingestion_streampartition p
SET landed = p.landed + s.rows - s.quarantined, quarantined = p.quarantined + s.quarantined
FROM summed s WHERE p.id = s.partition_id
"""
#: Settled batches are kept this long to be looked at.
KEPT = timedelta(days=1)
#: A done batch that nobody has settled for so long was left by an owner that is gone.
LEFT_AFTER = timedelta(minutes=1)
#: Batches that one call of ``prune`` deletes at most.
PRUNED = 20_000


def settle(at: Address, tokens: Collection[uuid.UUID]) -> None:
    """Count and close batches of one table; raises WarehouseError, and then nothing is changed."""
    if not tokens:
        return
    found = inbox.quarantined(at, tokens)
    with connection.cursor() as cursor:
        cursor.execute(
            _SETTLE,
            {"tokens": list(tokens), "quarantined": [found.get(token, 0) for token in tokens]},
        )


def unsettled(partition_ids: Collection[int]) -> list[uuid.UUID]:
    """Batches that are done and not settled."""
    done = Batch.objects.filter(partition__in=partition_ids, state=BatchState.DONE)
    return list(done.values_list("token", flat=True))


def settle_left(source: Source) -> None:
    """Settle what owners left behind that are gone, of a source that is not being consumed.

    For streams with offsets; of a queue only a reader knows what may come again.
    """
    done = Batch.objects.filter(
        partition__source=source,
        state=BatchState.DONE,
        done_at__lt=timezone.now() - LEFT_AFTER,
    )
    settle(inbox.address(source.table), list(done.values_list("token", flat=True)))


def prune() -> int:
    """Delete settled batches that are old; returns how many."""
    old = Batch.objects.filter(state=BatchState.SETTLED, done_at__lt=timezone.now() - KEPT)
    keys = list(old.order_by("pk").values_list("pk", flat=True)[:PRUNED])
    return Batch.objects.filter(pk__in=keys).delete()[0]
