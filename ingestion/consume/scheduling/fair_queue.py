"""Fair shares: whose batch is next, and how much of the memory and the threads is whose.

Policy alone: no I/O, no clock. Whose batch is next is start-time fair queueing (Goyal, Vin and
Cheng, SIGCOMM 1996): a tenant's virtual time grows by what it is charged over its weight, and the
one furthest behind is next. Virtual time of the whole is that of whoever was chosen last. A tenant
that was idle is lifted to it: it is served at once, but has saved nothing up while it asked for
nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

#: What an insert costs the engine beside its bytes, in bytes: a tenant must not have more than its
#: share by asking for many small ones.
INSERT_BYTES = 1 << 20


class Queued(NamedTuple):
    """A batch that could be inserted now. ``since``: when its first message came, in seconds."""

    tenant_id: int
    since: float


class FairQueue:
    """Use: ``choose`` among the batches that are due, ``charge`` what was chosen, and again.

    Keeps a number for each tenant that was ever charged.
    """

    def __init__(self) -> None:
        self._now = 0.0
        self._due: dict[int, float] = {}

    def choose(self, queued: Sequence[Queued]) -> int:
        """Index of the next one: of the tenant furthest behind, the oldest first.

        Raises ValueError where there is none.
        """
        chosen = min(range(len(queued)), key=lambda index: self._rank(queued[index]))
        self._now = self._start(queued[chosen].tenant_id)
        return chosen

    def charge(self, tenant_id: int, weight: int, size: int) -> None:
        """Note that an insert of ``size`` bytes was begun for a tenant of this weight."""
        self._due[tenant_id] = self._start(tenant_id) + (INSERT_BYTES + size) / max(1, weight)

    def _rank(self, batch: Queued) -> tuple[float, float]:
        return self._start(batch.tenant_id), batch.since

    def _start(self, tenant_id: int) -> float:
        return max(self._now, self._due.get(tenant_id, 0.0))


def share(held_bytes: int, weight: int, total_weight: int) -> int:
    """Bytes of ``held_bytes`` that a tenant may hold, of tenants that weigh so much together."""
    return held_bytes * weight // max(weight, total_weight, 1)


def divided(
    capacity: float, wanted: Mapping[int, float], weights: Mapping[int, int]
) -> dict[int, float]:
    """What each tenant gets of ``capacity``: all that it wants, or its share of what others leave.

    Max-min fairness by weights (Bertsekas and Gallager, Data Networks, 6.5.2): whoever wants more
    than its share is the slower for it, and not the others.
    """
    given: dict[int, float] = {}
    total = sum(weights[one] for one in wanted)
    for tenant_id in sorted(wanted, key=lambda one: wanted[one] / weights[one]):
        weight = weights[tenant_id]
        given[tenant_id] = min(wanted[tenant_id], capacity * weight / total)
        capacity -= given[tenant_id]
        total -= weight
    return given
