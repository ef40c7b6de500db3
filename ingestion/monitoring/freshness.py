"""Freshness: how old events are when they land, as counts by age.

An event's age is the time from its timestamp to the end of the insert that made it queryable, by
the worker's clock. The timestamp is the producer's, or Kafka's; of an event by HTTP the time of
receipt; of a RabbitMQ message the sender's, in whole seconds, or, without one, that of delivery.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

import numpy as np
import pyarrow as pa

#: Where one count ends and the next begins, in seconds. Ages about a batch's own are told apart
#: best; the first count is of those below the first bound, the last of those above the last.
BOUNDS = (
    *(0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1, 1.5, 2, 3, 5, 10, 20, 30),
    *(60, 120, 300, 600, 1800, 3600, 10_800, 21_600, 86_400, 604_800),
)
#: How many counts there are.
BUCKETS = len(BOUNDS) + 1

_BOUNDS_MS = (np.array(BOUNDS[::-1]) * 1000).astype(np.int64)


def count(timestamps: pa.ChunkedArray, now: int) -> list[int]:
    """How many of the timestamps are of which age at ``now`` (ms since 1970).

    About 0.006 µs a message. A timestamp of the future counts as one of now.
    """
    times = timestamps.cast(pa.int64()).to_numpy(zero_copy_only=False).copy()
    times.sort()
    older = np.searchsorted(times, now - _BOUNDS_MS, side="right")
    counts = np.diff(older, prepend=0, append=len(times))
    return [int(one) for one in counts[::-1]]


def total(counts: Iterable[Sequence[int]]) -> list[int]:
    """Their sum; one without counts adds nothing."""
    return [sum(column) for column in zip(*(one for one in counts if one), strict=True)]


def quantile(counts: Sequence[int], share: float) -> float | None:
    """The age, in seconds, that ``share`` of the events did not go beyond; None without events.

    Within a count events are taken to be spread evenly. Beyond the last bound it is that bound.
    """
    wanted = share * sum(counts)
    if not wanted:
        return None
    passed = 0
    for (low, high), held in zip(pairwise((0.0, *BOUNDS)), counts, strict=False):
        if held and passed + held >= wanted:
            return round(low + (high - low) * (wanted - passed) / held, 3)
        passed += held
    return float(BOUNDS[-1])
