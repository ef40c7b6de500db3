"""Which tenant's batch is next: simulated, because every rule is about the long run."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingestion.consume.scheduling.batch_policy import BUSY, BatchPolicy
from ingestion.consume.scheduling.fair_queue import (
    INSERT_BYTES,
    FairQueue,
    Queued,
    divided,
    share,
)

MIB = 1 << 20


def served(
    queue: FairQueue, weights: Mapping[int, int], sizes: Mapping[int, int], inserts: int
) -> Counter[int]:
    """Bytes inserted for each tenant after so many inserts, if each always has a batch due."""
    got: Counter[int] = Counter()
    waiting = dict.fromkeys(weights, 0.0)
    for turn in range(inserts):
        names = list(waiting)
        tenant = names[queue.choose([Queued(name, waiting[name]) for name in names])]
        queue.charge(tenant, weights[tenant], sizes[tenant])
        got[tenant] += sizes[tenant]
        waiting[tenant] = float(turn + 1)
    return got


@pytest.mark.parametrize(
    "weights", [{1: 1, 2: 1}, {1: 1, 2: 3}, {1: 1, 2: 2, 3: 5}, {1: 1, 2: 100}]
)
def test_bytes_follow_the_weights_while_all_compete(weights: dict[int, int]) -> None:
    got = served(FairQueue(), weights, dict.fromkeys(weights, 16 * MIB), 5_000)
    total = sum(weights.values())
    for tenant, weight in weights.items():
        assert got[tenant] / got.total() == pytest.approx(weight / total, rel=0.03)


def test_large_batches_do_not_get_a_tenant_more_than_its_share() -> None:
    sizes = {1: 2 * MIB, 2: 32 * MIB}
    got = served(FairQueue(), {1: 1, 2: 1}, sizes, 5_000)
    cost = {key: got[key] / sizes[key] * (sizes[key] + INSERT_BYTES) for key in sizes}
    assert cost[1] == pytest.approx(cost[2], rel=0.02)


def test_many_small_inserts_count_for_what_they_cost_the_engine() -> None:
    """Otherwise a tenant with a thousand trickling sources would take all threads."""
    got = served(FairQueue(), {1: 1, 2: 1}, {1: 100, 2: 16 * MIB}, 5_000)
    assert got[1] / 100 == pytest.approx(17 * got[2] / (16 * MIB), rel=0.02)


def test_a_tenant_that_was_idle_is_next_at_once() -> None:
    queue = FairQueue()
    served(queue, {1: 100}, {1: 32 * MIB}, 10_000)
    assert queue.choose([Queued(1, 0.0), Queued(2, 99.0)]) == 1


def test_a_tenant_saves_nothing_up_while_it_is_idle() -> None:
    queue = FairQueue()
    served(queue, {1: 1, 2: 1}, {1: MIB, 2: MIB}, 10)
    served(queue, {1: 1}, {1: MIB}, 1_000)
    got = served(queue, {1: 1, 2: 1}, {1: MIB, 2: MIB}, 100)
    assert got[1] == pytest.approx(got[2], abs=2 * MIB)


def test_a_flood_alone_runs_up_no_debt() -> None:
    """When the others come, it continues with its share, and does not wait until they catch up."""
    queue = FairQueue()
    served(queue, {1: 1}, {1: 32 * MIB}, 10_000)
    got = served(queue, {1: 1, 2: 1}, {1: MIB, 2: MIB}, 100)
    assert got[1] >= 33 * MIB


def test_nobody_starves_however_unlike_the_weights_and_sizes_are() -> None:
    """Between two inserts of one tenant, no other gets more than its share plus one batch."""
    chance = random.Random(7)
    weights = {tenant: chance.randint(1, 100) for tenant in range(50)}
    sizes = {tenant: chance.randint(100, 32 * MIB) for tenant in weights}
    queue, last, longest = FairQueue(), dict.fromkeys(weights, 0), Counter[int]()
    for turn in range(200_000 // len(weights)):
        pairs = [Queued(tenant, 0.0) for tenant in weights]
        tenant = pairs[queue.choose(pairs)].tenant_id
        queue.charge(tenant, weights[tenant], sizes[tenant])
        longest[tenant] = max(longest[tenant], turn - last[tenant])
        last[tenant] = turn
    for tenant, weight in weights.items():
        own = (sizes[tenant] + INSERT_BYTES) / weight
        others = sum(own * weights[key] / (sizes[key] + INSERT_BYTES) + 1 for key in weights)
        assert longest[tenant] <= others + 1


def test_of_equals_the_oldest_is_next() -> None:
    queue = FairQueue()
    assert queue.choose([Queued(1, 5.0), Queued(2, 3.0), Queued(3, 4.0)]) == 1
    assert queue.choose([Queued(1, 5.0), Queued(1, 4.0)]) == 1


def test_a_tenant_may_hold_the_share_of_its_weight() -> None:
    assert share(128 * MIB, 1, 1) == 128 * MIB
    assert share(128 * MIB, 1, 4) == 32 * MIB
    assert [share(100, weight, 10) for weight in (1, 3, 6)] == [10, 30, 60]
    assert share(100, 5, 0) == 100


# On a loaded machine a test may pause for long.
@settings(deadline=None)
@given(
    st.floats(0, 10),
    st.dictionaries(st.integers(0, 9), st.tuples(st.floats(0, 10), st.integers(1, 100))),
)
def test_who_gets_less_than_it_wants_has_no_less_for_its_weight_than_any_other(
    capacity: float, asked: dict[int, tuple[float, int]]
) -> None:
    demands = {key: amount for key, (amount, _) in asked.items()}
    weights = {key: weight for key, (_, weight) in asked.items()}
    got = divided(capacity, demands, weights)
    assert got.keys() == demands.keys()
    assert all(0 <= got[key] <= demands[key] for key in demands)
    assert sum(got.values()) == pytest.approx(min(capacity, sum(demands.values())))
    most = max((got[key] / weights[key] for key in demands), default=0.0)
    for key, amount in demands.items():
        if got[key] < amount:
            assert got[key] / weights[key] == pytest.approx(most)


@pytest.mark.parametrize(
    ("busy", "weights", "cost", "ages"),
    [
        ({}, {}, 0.1, {}),
        ({1: 4}, {1: 1}, 0.0, {1: 0.5}),
        # Alone, it gets whatever the threads can do.
        ({1: 16}, {1: 1}, 0.1, {1: 1.0}),
        # A flood of four partitions has the half that the others leave, and they wait for nothing.
        ({1: 1, 2: 1, 3: 4}, {1: 1, 2: 1, 3: 1}, 0.2, {1: 0.5, 2: 0.5, 3: 1.0}),
        ({1: 10, 2: 10}, {1: 1, 2: 3}, 0.4, {1: 10.0, 2: 10 / 3}),
    ],
)
def test_batches_get_older_of_those_who_ask_for_more_than_their_share(
    busy: dict[int, int], weights: dict[int, int], cost: float, ages: dict[int, float]
) -> None:
    policy = BatchPolicy(rows=1_000, bytes=MIB, seconds=0.5, held_bytes=4 * MIB)
    assert policy.ages(busy, weights, cost) == pytest.approx(ages)


def test_batches_may_be_cut_at_once_while_there_are_threads_for_that() -> None:
    policy = BatchPolicy(rows=1_000, bytes=MIB, seconds=0.0, held_bytes=4 * MIB)
    assert policy.ages({1: 1, 2: 4}, {1: 1, 2: 1}, 0.0) == {1: 0.0, 2: 0.0}
    assert policy.ages({1: 1, 2: 4}, {1: 1, 2: 1}, 0.2) == pytest.approx({1: 0.25, 2: 1.0})


def test_a_thousand_alike_share_the_threads_alike() -> None:
    policy = BatchPolicy(rows=1_000, bytes=MIB, seconds=0.5, held_bytes=4 * MIB)
    ages = policy.ages(dict.fromkeys(range(1_000), 1), dict.fromkeys(range(1_000), 1), 0.02)
    assert ages == pytest.approx(dict.fromkeys(range(1_000), 1_000 * 0.02 / BUSY))
