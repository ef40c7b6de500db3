"""Since when polled messages count as waiting, and what has yet to be acknowledged."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from ingestion.batches.batch import Lease
from ingestion.connectors.base import Reader
from ingestion.connectors.chunk import Chunk, chunk
from ingestion.consume.buffer import PartitionBuffer
from ingestion.consume.source_reader import SourceReader
from ingestion.errors import BrokerUnreachable
from ingestion.landing.addresses import Address
from ingestion.models import Source


class Arrivals(Reader):
    """A reader whose polls bring these chunks."""

    def __init__(self, *polls: list[Chunk]) -> None:
        self._polls = list(polls)

    def poll(self, limit: int) -> list[Chunk]:
        return self._polls.pop(0)

    def acknowledge(self, positions: Mapping[int, int]) -> None:
        raise NotImplementedError

    def flush(self) -> None:
        raise NotImplementedError

    def has_caught_up(self) -> bool:
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError


def message(offset: int) -> list[Chunk]:
    return [chunk(0, [offset], [1_700_000_000_000], [b"{}"])]


def reader(*polls: list[Chunk]) -> tuple[SourceReader, PartitionBuffer]:
    buffer = PartitionBuffer(Lease(1, 1, 0, "me", 1), 0, 0)
    return SourceReader(Source(), Address("", "", "", ""), Arrivals(*polls), {0: buffer}), buffer


def test_what_a_poll_brings_waits_since_the_poll_before_it() -> None:
    made, buffer = reader([], message(0), message(1))
    assert made.poll(10, 3.0) == 0
    assert made.poll(10, 9.0) == 1
    assert buffer.since == 3.0
    assert made.poll(10, 12.0) == 1
    assert (buffer.since, buffer.rows) == (3.0, 2)


def test_what_the_first_poll_brings_waits_since_then() -> None:
    made, buffer = reader(message(0))
    assert made.poll(10, 3.0) == 1
    assert buffer.since == 3.0


class Acknowledging(Arrivals):
    """A reader that fails as often as there are ``failures``."""

    def __init__(self, *failures: Exception) -> None:
        super().__init__()
        self.failures = list(failures)
        self.positions: list[dict[int, int]] = []

    def acknowledge(self, positions: Mapping[int, int]) -> None:
        if self.failures:
            raise self.failures.pop(0)
        self.positions.append(dict(positions))


def test_an_acknowledgement_that_fails_is_tried_again_with_all_that_has_landed_since() -> None:
    stream = Acknowledging(BrokerUnreachable("away"), BrokerUnreachable("away"))
    made = SourceReader(Source(), Address("", "", "", ""), stream, {})
    made.uncommitted = {0: 5, 1: 7}
    for _ in range(2):
        with pytest.raises(BrokerUnreachable):
            made.commit()
    made.uncommitted[0] = 6
    made.commit()
    made.commit()
    assert stream.positions == [{0: 6, 1: 7}]
    made.uncommitted[1] = 9
    made.commit()
    assert stream.positions[1:] == [{1: 9}]
