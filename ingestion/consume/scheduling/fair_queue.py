"""Fair shares: which tenant's batch is next, and each tenant's part of the memory and threads.

Policy only: no I/O, no clock. The order is start-time fair queueing (Goyal, Vin and Cheng, SIGCOMM
1996): a tenant's virtual time grows by its charges divided by its weight, and the tenant furthest
behind is next. The queue's virtual time is that of the tenant chosen last. A tenant that was idle
is lifted to it: it is served at once, but its idle time gives it no credit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

#: The fixed cost of an insert in ClickHouse, in bytes: without it, a tenant could get more than its
#: share by many small inserts.
INSERT_BYTES = 1 << 20


class Queued(NamedTuple):
    """A batch that could be inserted. ``since``: when its first message arrived, in seconds."""

    tenant_id: int
    since: float


class FairQueue:
    """Orders batches by tenant: ``choose`` one, ``charge`` its tenant, and repeat.

    Keeps one number for each tenant that was ever charged.
    """

    def __init__(self) -> None:
        self._now = 0.0
        self._due: dict[int, float] = {}

    def choose(self, queued: Sequence[Queued]) -> int:
        """The index of the next batch: the oldest batch of the tenant furthest behind.

        Raises ValueError if ``queued`` is empty.
        """
        chosen = min(range(len(queued)), key=lambda index: self._rank(queued[index]))
        self._now = self._start(queued[chosen].tenant_id)
        return chosen

    def charge(self, tenant_id: int, weight: int, size: int) -> None:
        """Charge a tenant of this weight for an insert of ``size`` bytes."""
        self._due[tenant_id] = self._start(tenant_id) + (INSERT_BYTES + size) / max(1, weight)

    def _rank(self, batch: Queued) -> tuple[float, float]:
        return self._start(batch.tenant_id), batch.since

    def _start(self, tenant_id: int) -> float:
        return max(self._now, self._due.get(tenant_id, 0.0))


def share(held_bytes: int, weight: int, total_weight: int) -> int:
    """The bytes of ``held_bytes`` that a tenant may hold: its weight's part of the total weight."""
    return held_bytes * weight // max(weight, total_weight, 1)


def divided(
    capacity: float, demands: Mapping[int, float], weights: Mapping[int, int]
) -> dict[int, float]:
    """Each tenant's part of ``capacity``: its demand, or its share of what the others leave.

    Max-min fairness by weights (Bertsekas and Gallager, Data Networks, 6.5.2): a tenant that
    demands more than its share slows itself down, and no other.
    """
    shares: dict[int, float] = {}
    total = sum(weights[tenant_id] for tenant_id in demands)
    # From the smallest demand for its weight on, so that what a tenant leaves goes to the others.
    for tenant_id in sorted(demands, key=lambda key: demands[key] / weights[key]):
        weight = weights[tenant_id]
        shares[tenant_id] = min(demands[tenant_id], capacity * weight / total)
        capacity -= shares[tenant_id]
        total -= weight
    return shares
