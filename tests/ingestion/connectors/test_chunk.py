"""Messages column by column: where reading continues, and what a chunk cut in two keeps."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ingestion.connectors.chunk import SCHEMA, chunk, hole


def test_reading_continues_behind_the_last_message() -> None:
    made = chunk(3, [5, 6, 9], [1, 7, 2], [b"a", b"b", b"c"])
    assert (made.number, made.to_offset, made.newest) == (3, 10, 7)
    assert made.rows["_offset"].to_pylist() == [5, 6, 9]
    assert made.bytes >= made.rows.nbytes


def test_what_a_message_lacks_is_empty_and_never_null() -> None:
    bare = chunk(0, [1, 2], [1, 1], [b"a", None])
    assert bare.rows["raw"].to_pylist() == [b"a", b""]
    assert bare.rows["_key"].to_pylist() == [b"", b""]
    assert bare.rows["_message_id"].to_pylist() == ["", ""]
    full = chunk(0, [1, 2], [1, 1], [None, None], keys=[None, b"k"], ids=["x", "y"])
    assert full.rows["raw"].to_pylist() == [b"", b""]
    assert full.rows["_key"].to_pylist() == [b"", b"k"]
    assert full.rows["_message_id"].to_pylist() == ["x", "y"]
    for made in (bare, full):
        assert made.rows.schema == SCHEMA
        assert sum(column.null_count for column in made.rows.columns) == 0


def test_a_hole_leads_on_and_has_no_messages() -> None:
    made = hole(3, 10)
    assert (made.number, made.to_offset, made.rows.num_rows, made.bytes) == (3, 10, 0, 0)
    assert made.rows.schema == SCHEMA


def test_both_parts_of_a_chunk_have_each_message_once() -> None:
    whole = replace(chunk(0, [5, 6, 9], [1, 7, 2], [b"a", b"b", b"c"]), to_offset=12)
    first, rest = whole.split(2)
    assert (first.rows["_offset"].to_pylist(), first.to_offset) == ([5, 6], 9)
    assert (rest.rows["_offset"].to_pylist(), rest.to_offset) == ([9], 12)
    assert first.rows["raw"].to_pylist() + rest.rows["raw"].to_pylist() == [b"a", b"b", b"c"]
    assert (first.bytes, rest.bytes) == (first.rows.nbytes, rest.rows.nbytes)


@pytest.mark.parametrize(("unidentified", "expected"), [(0, (0, 0)), (1, (1, 0)), (3, (2, 1))])
def test_what_is_counted_of_a_chunk_is_counted_once_of_its_parts(
    unidentified: int, expected: tuple[int, int]
) -> None:
    made = chunk(0, [5, 6, 7], [1, 1, 1], [b"a", b"b", b"c"])
    first, rest = replace(made, deduplicated=4, unidentified=unidentified).split(2)
    assert (first.deduplicated, rest.deduplicated) == (4, 0)
    assert (first.unidentified, rest.unidentified) == expected
