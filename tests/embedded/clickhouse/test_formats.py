"""Which results are sent block by block, and what is cut off where blocks are joined."""

from __future__ import annotations

import struct

import pytest

from millrace.embedded.clickhouse import formats


def joined(form: str, blocks: list[bytes]) -> bytes:
    stitch = formats.stitch(form)
    assert stitch is not None
    pieces = [bytes(stitch(block, number == 0)) for number, block in enumerate(blocks)]
    return b"".join(pieces) + formats.ending(form)


@pytest.mark.parametrize("form", ["TSV", "CSV", "JSONEachRow", "Native", "RowBinary"])
def test_blocks_without_a_header_are_joined_unchanged(form: str) -> None:
    assert joined(form, [b"a\n", b"b\n"]) == b"a\nb\n"


@pytest.mark.parametrize(
    "form", ["JSON", "Parquet", "Arrow", "Pretty", "XML", "RowBinaryWithNames"]
)
def test_a_document_is_not_sent_in_blocks(form: str) -> None:
    assert formats.stitch(form) is None


@pytest.mark.parametrize(
    ("form", "head"),
    [
        ("TSVWithNames", b"a\n"),
        ("TabSeparatedWithNamesAndTypes", b"a\nUInt8\n"),
        ("CSVWithNames", b'"a"\n'),
        ("CSVWithNamesAndTypes", b'"a"\n"UInt8"\n'),
        ("JSONCompactEachRowWithNames", b'["a"]\n'),
    ],
)
def test_later_blocks_lose_their_header_and_no_row(form: str, head: bytes) -> None:
    assert joined(form, [head + b"1\n", head + b"2\n", head + b"3\n4\n"]) == head + b"1\n2\n3\n4\n"


def test_a_block_that_is_only_a_header_adds_nothing() -> None:
    assert joined("CSVWithNames", [b'"a"\n1\n', b'"a"\n']) == b'"a"\n1\n'


def test_a_quoted_name_in_csv_may_contain_newlines_and_quotation_marks() -> None:
    head = b'"a\n""b"\n'
    assert joined("CSVWithNames", [head + b"1\n", head + b"2\n"]) == head + b"1\n2\n"


@pytest.mark.parametrize(
    ("form", "head"),
    [
        ("TSVWithNames", b'a"b\n'),
        ("TSVRawWithNames", b'a"b\n'),
        ("TabSeparatedWithNamesAndTypes", b'a"b\nUInt8\n'),
        ("JSONCompactEachRowWithNames", b'["a\\"b"]\n'),
    ],
)
def test_a_quotation_mark_in_a_name_costs_no_rows(form: str, head: bytes) -> None:
    """Taken for the start of a quoted name, it hid the end of the header, and all rows behind."""
    assert joined(form, [head + b"1\n", head + b"2\n3\n"]) == head + b"1\n2\n3\n"


def _message(content: bytes) -> bytes:
    """A message of Arrow's IPC format: a marker, the length of its metadata, the rest."""
    return b"\xff\xff\xff\xff" + struct.pack("<i", len(content)) + content


@pytest.mark.parametrize("schema", [b"schema..", b"a longer schema."])
def test_blocks_of_arrow_become_one_stream(schema: bytes) -> None:
    head, end = _message(schema), struct.pack("<ii", -1, 0)
    batches = [_message(b"batch 1."), _message(b"batch 2.")]
    blocks = [head + batches[0] + end, head + batches[1] + end, head + end]
    assert joined("ArrowStream", blocks) == head + b"".join(batches) + end
    # Whatever the engine leaves at a block's end, there is one end.
    blocks = [block.removesuffix(end) for block in blocks]
    assert joined("ArrowStream", blocks) == head + b"".join(batches) + end


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ("TSVWithNames", "text/tab-separated-values; charset=UTF-8"),
        ("CSV", "text/csv; charset=UTF-8; header=absent"),
        ("CSVWithNames", "text/csv; charset=UTF-8; header=present"),
        ("JSONEachRow", "application/x-ndjson"),
        ("JSONCompact", "application/json; charset=UTF-8"),
        ("ArrowStream", "application/octet-stream"),
        ("Pretty", "text/plain; charset=UTF-8"),
    ],
)
def test_each_format_has_clickhouses_content_type(form: str, expected: str) -> None:
    assert formats.content_type(form) == expected
