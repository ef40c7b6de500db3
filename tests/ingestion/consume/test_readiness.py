"""Of whom a batch is cut, and of whom more is pulled: real lanes, and of their feeds the tenant."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from ingestion.connectors.chunk import chunk
from ingestion.consume import readiness
from ingestion.consume.lane import Lane
from ingestion.consume.pace import Pace

LEASE: Any = None
PACE = Pace(rows=1_000, bytes=1 << 20, seconds=0.5, held_bytes=1 << 22)


def feed(tenant_id: int, *since: float, weight: int = 1) -> Any:
    """One with a lane for each time since which a message waits."""
    lanes = {}
    for number, at in enumerate(since):
        lanes[number] = Lane(LEASE, position=0, high=0)
        lanes[number].add(chunk(0, [0], [0], [b"{}"]), at)
    tenant = SimpleNamespace(weight=weight)
    held = sum(one.bytes for one in lanes.values())
    return SimpleNamespace(
        tenant_id=tenant_id, source=SimpleNamespace(tenant=tenant), lanes=lanes, held_bytes=held
    )


def tenants(pairs: list[tuple[Any, Lane]]) -> list[int]:
    return [one.tenant_id for one, _ in pairs]


def test_many_partitions_of_one_tenant_do_not_keep_the_others_waiting() -> None:
    quiet, flood = feed(1, 0.0), feed(2, 0.0, 0.0, 0.0, 0.0)
    # 0.1 s of a thread each: 0.2 of 1.6 go to the quiet one, 0.8 the flood wants.
    assert tenants(readiness.due([quiet, flood], PACE, 0.5, 0.1)[0]) == [1, 2, 2, 2, 2]
    # 0.3 s each: 0.6 of 1.6 go to the quiet one, and 1.2 s of the flood's take the other 1.0.
    due, company = readiness.due([quiet, flood], PACE, 1.19, 0.3)
    assert tenants(due) == [1]
    assert tenants(company) == [2, 2, 2, 2]
    assert tenants(readiness.due([quiet, flood], PACE, 1.21, 0.3)[0]) == [1, 2, 2, 2, 2]


def test_a_heavier_tenant_is_cut_sooner_while_both_want_more_than_there_is() -> None:
    light, heavy = feed(1, *[0.0] * 8), feed(2, *[0.0] * 8, weight=3)
    assert tenants(readiness.due([light, heavy], PACE, 2.5, 0.3)[0]) == [2] * 8
    assert tenants(readiness.due([light, heavy], PACE, 6.5, 0.3)[0]) == [1] * 8 + [2] * 8


@pytest.mark.parametrize("weight", [0, 1])
def test_a_weight_that_no_form_lets_in_stops_nobody(weight: int) -> None:
    made = [feed(1, 0.0, weight=weight), feed(2, 0.0)]
    assert tenants(readiness.due(made, PACE, 9.0, 9.0)[0]) == []
    assert tenants(readiness.due(made, PACE, 12.0, 9.0)[0]) == [1, 2]
    assert readiness.hungry(made, PACE) == made


def test_a_tenant_that_holds_its_share_is_cut_at_once_and_not_pulled() -> None:
    one, other = feed(1, 0.0), feed(2, 0.0)
    one.held_bytes = PACE.held_bytes // 2
    assert readiness.hungry([one, other], PACE) == [other]
    assert tenants(readiness.due([one, other], PACE, 0.1, 0.0)[0]) == [1]
