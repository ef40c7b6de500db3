"""Policy: when a batch is cut, and how much a slice may hold. No state; time is an argument."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from django.conf import settings

from ingestion.consume.scheduling import fair_queue

#: Inserts of one slice at a time: one that the engine works on and one that is being sent.
INSERTS = 2
#: Messages and bytes of a small batch: what its insert costs has little to do with their number.
SMALL_ROWS, SMALL_BYTES = 2_000, 1 << 20
#: Inserts, of a slice's two, that small batches may keep waiting: beyond that batches get older.
BUSY = 1.6
#: Seconds: where batches are to be cut at once, this is what counts for how many that would be.
LEAST_AGE = 0.001
#: While a backlog is read, batches may be this many times older before they are cut: size pays.
BACKLOG_PATIENCE = 4


@dataclass(frozen=True, slots=True)
class BatchPolicy:
    """When batches are cut: at ``rows``, at ``bytes``, or at an age (``seconds``, at least)."""

    rows: int
    bytes: int
    seconds: float
    #: What one slice holds in memory at most, all tenants together, beside what is being inserted.
    held_bytes: int

    def ages(
        self, busy: Mapping[int, int], weights: Mapping[int, int], cost: float
    ) -> dict[int, float]:
        """Seconds after which a tenant's batch is cut while so many of its partitions deliver.

        ``cost``: seconds that a small insert keeps a thread waiting. The batches of a tenant that
        would take more than its share of the threads get older, and so larger; not those of others.
        """
        least = max(self.seconds, LEAST_AGE)
        wanted = {one: number * cost / least for one, number in busy.items()}
        given = fair_queue.divided(BUSY, wanted, weights)
        return {
            one: self.seconds if given[one] >= wanted[one] else number * cost / given[one]
            for one, number in busy.items()
        }

    def is_full(self, rows: int, held: int) -> bool:
        """Whether a batch has reached its size."""
        return rows >= self.rows or held >= self.bytes

    def is_due(self, rows: int, held: int, age: float, least: float, *, backlog: bool) -> bool:
        """Whether a batch is cut now; ``least`` is the age at which it is, of ``age``."""
        patience = BACKLOG_PATIENCE if backlog else 1
        return rows > 0 and (self.is_full(rows, held) or age >= least * patience)

    def share(self, weight: int, total_weight: int) -> int:
        """Bytes that a tenant may hold, of tenants in a slice that weigh so much together."""
        return fair_queue.share(self.held_bytes, weight, total_weight)


def from_settings() -> BatchPolicy:
    """The policy that the installation asks for."""
    size = settings.MILLRACE_BATCH_BYTES
    return BatchPolicy(
        rows=settings.MILLRACE_BATCH_ROWS,
        bytes=size,
        seconds=settings.MILLRACE_BATCH_AGE_SECONDS,
        held_bytes=4 * size,
    )
