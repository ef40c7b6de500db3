"""Which buffers are due, and which readers are polled: real buffers, fake readers."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from ingestion.connectors.chunk import chunk
from ingestion.consume.buffer import PartitionBuffer
from ingestion.consume.scheduling.batch_policy import BatchPolicy
from ingestion.consume.scheduling.candidate import Candidate
from ingestion.consume.scheduling.due import due_batches, readers_below_share

LEASE: Any = None
POLICY = BatchPolicy(rows=1_000, bytes=1 << 20, seconds=0.5, held_bytes=1 << 22)


def reader(tenant_id: int, *since: float, weight: int = 1) -> Any:
    """A reader with a buffer for each time, in which a message has waited since then."""
    buffers = {}
    for number, at in enumerate(since):
        buffers[number] = PartitionBuffer(LEASE, position=0, high=0)
        buffers[number].add(chunk(0, [0], [0], [b"{}"]), at)
    tenant = SimpleNamespace(weight=weight)
    held = sum(buffer.bytes for buffer in buffers.values())
    return SimpleNamespace(
        tenant_id=tenant_id, source=SimpleNamespace(tenant=tenant), buffers=buffers, held_bytes=held
    )


def tenants(candidates: list[Candidate]) -> list[int]:
    return [candidate.tenant_id for candidate in candidates]


def test_many_partitions_of_one_tenant_do_not_keep_the_others_waiting() -> None:
    quiet, flood = reader(1, 0.0), reader(2, 0.0, 0.0, 0.0, 0.0)
    # 0.1 s of a thread each: 0.2 of 1.6 go to the quiet one, 0.8 the flood wants.
    assert tenants(due_batches([quiet, flood], POLICY, 0.5, 0.1).batches) == [1, 2, 2, 2, 2]
    # 0.3 s each: 0.6 of 1.6 go to the quiet one, and 1.2 s of the flood's take the other 1.0.
    due = due_batches([quiet, flood], POLICY, 1.19, 0.3)
    assert tenants(due.batches) == [1]
    assert tenants(due.company) == [2, 2, 2, 2]
    assert tenants(due_batches([quiet, flood], POLICY, 1.21, 0.3).batches) == [1, 2, 2, 2, 2]


def test_a_heavier_tenant_is_cut_sooner_while_both_want_more_than_there_is() -> None:
    light, heavy = reader(1, *[0.0] * 8), reader(2, *[0.0] * 8, weight=3)
    assert tenants(due_batches([light, heavy], POLICY, 2.5, 0.3).batches) == [2] * 8
    assert tenants(due_batches([light, heavy], POLICY, 6.5, 0.3).batches) == [1] * 8 + [2] * 8


@pytest.mark.parametrize("weight", [0, 1])
def test_a_weight_that_no_form_lets_in_stops_nobody(weight: int) -> None:
    readers = [reader(1, 0.0, weight=weight), reader(2, 0.0)]
    assert tenants(due_batches(readers, POLICY, 9.0, 9.0).batches) == []
    assert tenants(due_batches(readers, POLICY, 12.0, 9.0).batches) == [1, 2]
    assert readers_below_share(readers, POLICY) == readers


def test_a_tenant_that_holds_its_share_is_cut_at_once_and_not_pulled() -> None:
    one, other = reader(1, 0.0), reader(2, 0.0)
    one.held_bytes = POLICY.held_bytes // 2
    assert readers_below_share([one, other], POLICY) == [other]
    assert tenants(due_batches([one, other], POLICY, 0.1, 0.0).batches) == [1]
