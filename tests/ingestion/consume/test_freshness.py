"""Freshness as counts by age: every event counts once, and quantiles are right."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingestion.monitoring import freshness

NOW = 1_800_000_000_000


def counted(*milliseconds: int) -> list[int]:
    stamps = pa.array([NOW - age for age in milliseconds], pa.int64())
    return freshness.count(pa.chunked_array([stamps.cast(pa.timestamp("ms", tz="UTC"))]), NOW)


@given(st.lists(st.integers(-(10**6), 10**9), min_size=1))
def test_every_event_counts_once_where_its_age_belongs(milliseconds: list[int]) -> None:
    expected = [0] * freshness.BUCKETS
    for age in milliseconds:
        expected[sum(age >= bound * 1000 for bound in freshness.BOUNDS)] += 1
    assert counted(*milliseconds) == expected


def test_messages_in_many_chunks_are_counted_together() -> None:
    chunk = pa.array([NOW - 250] * 3, pa.int64()).cast(pa.timestamp("ms", tz="UTC"))
    assert sum(freshness.count(pa.chunked_array([chunk, chunk]), NOW)) == 6


@pytest.mark.parametrize("share", [0.5, 0.95])
def test_a_quantile_is_no_further_off_than_its_count_is_wide(share: float) -> None:
    spread = np.random.default_rng(7).lognormal(mean=0, sigma=1.5, size=20_000)
    measured = freshness.quantile(counted(*(int(age * 1000) for age in spread)), share)
    true = float(np.quantile(spread, share))
    above = next(bound for bound in freshness.BOUNDS if bound > true)
    below = max((bound for bound in freshness.BOUNDS if bound <= true), default=0.0)
    assert measured is not None
    assert below <= measured <= above


def test_without_events_nobody_knows_and_beyond_the_last_bound_it_is_that() -> None:
    assert freshness.quantile([], 0.5) is None
    assert freshness.quantile([0] * freshness.BUCKETS, 0.5) is None
    assert freshness.quantile(counted(10**12), 0.5) == freshness.BOUNDS[-1]


def test_counts_are_summed_and_those_who_have_none_add_nothing() -> None:
    assert freshness.total([[1, 2], [], [3, 4]]) == [4, 6]
    assert freshness.total([]) == []
