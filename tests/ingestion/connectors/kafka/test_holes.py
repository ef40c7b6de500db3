"""Offsets at the end of a partition that hold no message: passed over, or lag would stay."""

from __future__ import annotations

from ingestion.connectors.chunk import Chunk, chunk
from ingestion.connectors.kafka.holes import Holes


def read(number: int, *offsets: int) -> Chunk:
    return chunk(number, list(offsets), [1] * len(offsets), [b"{}"] * len(offsets))


def reached(chunks: list[Chunk]) -> dict[int, tuple[int, int]]:
    """By partition: how many messages, and where reading continues."""
    return {one.number: (one.rows.num_rows, one.to_offset) for one in chunks}


def test_without_an_end_chunks_stay_as_they_are() -> None:
    chunks = [read(0, 3, 4), read(1, 8)]
    assert Holes({0: 3, 1: 8}).closed(chunks, {}) == chunks


def test_the_last_chunk_is_extended_to_the_end() -> None:
    found = Holes({0: 3}).closed([read(0, 3, 4)], {0: 7})
    assert reached(found) == {0: (2, 7)}


def test_where_no_message_came_the_hole_comes_alone() -> None:
    assert reached(Holes({0: 3, 1: 5}).closed([read(1, 5)], {0: 4})) == {0: (0, 4), 1: (1, 6)}


def test_an_end_that_was_reached_by_a_message_is_no_hole() -> None:
    holes = Holes({0: 3})
    assert reached(holes.closed([read(0, 3, 4)], {0: 5})) == {0: (2, 5)}
    assert holes.closed([], {0: 5}) == []


def test_a_hole_is_passed_once() -> None:
    holes = Holes({0: 3})
    assert reached(holes.closed([], {0: 6})) == {0: (0, 6)}
    assert holes.closed([], {0: 6}) == []
    assert reached(holes.closed([], {0: 8})) == {0: (0, 8)}


def test_an_end_of_before_the_messages_never_leads_back() -> None:
    holes = Holes({0: 3})
    holes.closed([read(0, 3, 4, 5)], {})
    assert holes.closed([], {0: 4}) == []
    assert reached(holes.closed([read(0, 6)], {0: 4})) == {0: (1, 7)}


def test_the_end_of_a_partition_that_is_not_read_is_nobodys() -> None:
    assert Holes({0: 3}).closed([], {1: 9}) == []
