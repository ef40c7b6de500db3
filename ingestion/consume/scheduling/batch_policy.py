"""Policy: when a batch is due, and how much a slice may hold. No state; time is an argument."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from django.conf import settings

from ingestion.consume.scheduling import fair_queue

#: Inserts of one slice at a time: ClickHouse works on one while the other is being sent.
INSERTS = 2
#: The most messages and bytes of a small batch. The cost of a small batch's insert hardly depends
#: on their number.
SMALL_ROWS, SMALL_BYTES = 2_000, 1 << 20
#: How many of a slice's INSERTS small batches may keep busy. Beyond that, batches wait longer.
BUSY = 1.6
#: Seconds that a batch age of 0 counts as, so that the number of inserts a second stays finite.
LEAST_AGE = 0.001
#: In a backlog a batch may wait this many times longer: large batches cost less a row.
BACKLOG_PATIENCE = 4


@dataclass(frozen=True, slots=True)
class BatchPolicy:
    """A batch is due at ``rows``, at ``bytes``, or at an age of at least ``seconds``."""

    rows: int
    bytes: int
    seconds: float
    #: Bytes that one slice may hold for all tenants together, besides the batches being inserted.
    held_bytes: int

    def ages(
        self, busy: Mapping[int, int], weights: Mapping[int, int], cost: float
    ) -> dict[int, float]:
        """The age in seconds at which a batch is due, by tenant.

        ``busy``: how many partitions of each tenant deliver. ``cost``: seconds that a small insert
        keeps a thread waiting. A tenant that would take more than its share of the threads gets
        older, and so larger, batches; the other tenants' batches keep their age.
        """
        least = max(self.seconds, LEAST_AGE)
        # Threads that each tenant would keep busy with a batch per partition every ``least``.
        demands = {tenant_id: number * cost / least for tenant_id, number in busy.items()}
        shares = fair_queue.divided(BUSY, demands, weights)
        return {
            tenant_id: self.seconds
            if shares[tenant_id] >= demands[tenant_id]
            else number * cost / shares[tenant_id]
            for tenant_id, number in busy.items()
        }

    def is_full(self, rows: int, held: int) -> bool:
        """Whether a batch has reached its size."""
        return rows >= self.rows or held >= self.bytes

    def is_due(self, rows: int, held: int, age: float, least: float, *, backlog: bool) -> bool:
        """Whether a batch of this size and ``age`` is due; ``least`` is the age that makes it so.

        Ages are in seconds.
        """
        patience = BACKLOG_PATIENCE if backlog else 1
        return rows > 0 and (self.is_full(rows, held) or age >= least * patience)

    def share(self, weight: int, total_weight: int) -> int:
        """Bytes that a tenant of ``weight`` may hold.

        ``total_weight``: the sum of the weights of the slice's tenants.
        """
        return fair_queue.share(self.held_bytes, weight, total_weight)


def from_settings() -> BatchPolicy:
    """The policy that the installation's settings ask for."""
    size = settings.MILLRACE_BATCH_BYTES
    return BatchPolicy(
        rows=settings.MILLRACE_BATCH_ROWS,
        bytes=size,
        seconds=settings.MILLRACE_BATCH_AGE_SECONDS,
        held_bytes=4 * size,
    )
