"""Since when polled messages count as waiting, by a clock that the test sets."""

from __future__ import annotations

from collections.abc import Mapping

from ingestion.batches.batch import Lease
from ingestion.connectors.base import Reader
from ingestion.connectors.chunk import Chunk, chunk
from ingestion.consume.buffer import PartitionBuffer
from ingestion.consume.source_reader import SourceReader
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
