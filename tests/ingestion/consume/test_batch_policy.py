"""When a batch is due, and how much a tenant may hold: policy only."""

from __future__ import annotations

import pytest

from ingestion.consume.scheduling.batch_policy import BACKLOG_PATIENCE, BUSY, BatchPolicy

POLICY = BatchPolicy(rows=100, bytes=1_000, seconds=0.5, held_bytes=4_000)


@pytest.mark.parametrize(
    ("rows", "held", "age", "backlog", "is_due"),
    [
        (0, 0, 99.0, False, False),
        (1, 10, 0.4, False, False),
        (1, 10, 0.5, False, True),
        (100, 10, 0.0, False, True),
        (1, 1_000, 0.0, False, True),
        # In a backlog large batches pay, so a batch may get older.
        (1, 10, 0.5, True, False),
        (1, 10, 0.5 * BACKLOG_PATIENCE, True, True),
        (100, 10, 0.0, True, True),
    ],
)
def test_a_batch_is_due_by_its_size_or_its_age(
    rows: int, held: int, age: float, backlog: bool, is_due: bool
) -> None:
    assert POLICY.is_due(rows, held, age, 0.5, backlog=backlog) is is_due


def test_while_there_are_threads_enough_batches_get_no_older_than_asked() -> None:
    ages = POLICY.ages({1: 2, 2: 3}, {1: 1, 2: 1}, 0.01)
    assert ages == {1: 0.5, 2: 0.5}


def test_who_wants_more_than_its_share_has_older_batches_and_the_others_do_not() -> None:
    """Of 1.6 threads one tenant wants 0.2 and the other 8: that one gets the rest."""
    ages = POLICY.ages({1: 1, 2: 40}, {1: 1, 2: 1}, 0.1)
    assert ages[1] == 0.5
    assert ages[2] == pytest.approx(40 * 0.1 / (BUSY - 0.2))


def test_a_tenant_of_twice_the_weight_has_batches_half_as_old() -> None:
    ages = POLICY.ages({1: 100, 2: 100}, {1: 1, 2: 2}, 0.1)
    assert ages[1] == pytest.approx(2 * ages[2])


def test_batches_that_are_to_be_cut_at_once_still_share_the_threads() -> None:
    at_once = BatchPolicy(rows=100, bytes=1_000, seconds=0.0, held_bytes=4_000)
    assert at_once.ages({1: 1}, {1: 1}, 0.001) == {1: 0.0}
    assert at_once.ages({1: 100}, {1: 1}, 0.01)[1] == pytest.approx(100 * 0.01 / BUSY)


def test_memory_is_shared_by_weight() -> None:
    assert POLICY.share(1, 4) == 1_000
    assert POLICY.share(3, 4) == 3_000
    assert POLICY.share(1, 1) == POLICY.held_bytes
