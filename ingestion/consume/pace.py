"""Policy: when a batch is cut, and how much a slice may hold. No state; time is an argument."""

from __future__ import annotations

from dataclasses import dataclass

from django.conf import settings

#: Inserts that one slice may spend in a second on small batches. A small insert costs the engine
#: about 5 ms of CPU, so a machine of 2 cores has some 50 for all its slices.
INSERTS_PER_SECOND = 20
#: While a backlog is read, batches may be this many times older before they are cut: size pays.
BACKLOG_PATIENCE = 4


@dataclass(frozen=True, slots=True)
class Pace:
    """When batches are cut: at ``rows``, at ``bytes``, or at an age (``seconds``, at least)."""

    rows: int
    bytes: int
    seconds: float
    #: What one slice holds in memory at most, all tenants together, beside what is being inserted.
    held_bytes: int

    def age(self, busy: int) -> float:
        """Seconds after which a batch is cut while ``busy`` partitions deliver."""
        return max(self.seconds, busy / INSERTS_PER_SECOND)

    def is_full(self, rows: int, held: int) -> bool:
        """Whether a batch has reached its size."""
        return rows >= self.rows or held >= self.bytes

    def is_due(self, rows: int, held: int, age: float, busy: int, *, backlog: bool) -> bool:
        """Whether a batch is cut now."""
        patience = BACKLOG_PATIENCE if backlog else 1
        return rows > 0 and (self.is_full(rows, held) or age >= self.age(busy) * patience)

    def share(self, tenants: int) -> int:
        """Bytes that one of ``tenants`` in a slice may hold."""
        return self.held_bytes // max(1, tenants)


def from_settings() -> Pace:
    """The pace that the installation asks for."""
    size = settings.MILLRACE_BATCH_BYTES
    return Pace(
        rows=settings.MILLRACE_BATCH_ROWS,
        bytes=size,
        seconds=settings.MILLRACE_BATCH_AGE_SECONDS,
        held_bytes=4 * size,
    )
