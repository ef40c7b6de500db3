"""Says for each format whether a result can be sent block by block, or only as a whole.

The engine formats each block of a stream separately. In some formats the blocks can simply be
joined; in others each block repeats a header, which is cut off; the remaining formats make one
document of the whole result and can't be joined.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

#: Formats whose blocks can be joined unchanged.
_PLAIN = frozenset(
    [
        "Native",
        "TabSeparated",
        "TSV",
        "TabSeparatedRaw",
        "TSVRaw",
        "Raw",
        "CSV",
        "RowBinary",
        "JSONEachRow",
        "JSONLines",
        "NDJSON",
        "JSONCompactEachRow",
        "JSONStringsEachRow",
        "JSONCompactStringsEachRow",
        "TSKV",
        "LineAsString",
        "RawBLOB",
        "Null",
    ]
)
_HEADERS = {"WithNames": 1, "WithNamesAndTypes": 2}
_TEXT_HEADED = (
    "TabSeparated", "TSV", "TabSeparatedRaw", "TSVRaw", "Raw", "JSONCompactEachRow",
    "JSONCompactStringsEachRow", "CSV",
)  # fmt: skip
_LINES = {base + tail: n for base in _TEXT_HEADED for tail, n in _HEADERS.items()}

Stitch = Callable[[bytes | memoryview, bool], bytes | memoryview]


def _whole(block: bytes | memoryview, first: bool) -> bytes | memoryview:
    return block


def _after_lines(count: int, *, quoting: bool) -> Stitch:
    def stitch(block: bytes | memoryview, first: bool) -> bytes | memoryview:
        return block if first else memoryview(block)[_end_of_lines(block, count, quoting) :]

    return stitch


def _end_of_lines(block: bytes | memoryview, count: int, quoting: bool) -> int:
    """Where a header of ``count`` lines ends.

    With ``quoting``, as in CSV, names in quotation marks may contain newlines. Other formats escape
    newlines, and a quotation mark in a name has no partner.
    """
    quoted = False
    for at, byte in enumerate(memoryview(block)):
        quoted ^= quoting and byte == ord('"')
        count -= byte == ord("\n") and not quoted
        if not count:
            return at + 1
    return len(block)


_END_OF_STREAM = b"\xff\xff\xff\xff\x00\x00\x00\x00"


def _arrow_stream(block: bytes | memoryview, first: bool) -> bytes | memoryview:
    """Cut off the schema (the first message) of later blocks, and every end-of-stream marker."""
    view = memoryview(block)
    if bytes(view[-8:]) == _END_OF_STREAM:
        view = view[:-8]
    return view if first else view[8 + struct.unpack_from("<i", view, 4)[0] :]


def stitch(form: str) -> Stitch | None:
    """The function that joins a format's blocks to one result; None if they can't be joined."""
    if form in _PLAIN:
        return _whole
    if form == "ArrowStream":
        return _arrow_stream
    lines = _LINES.get(form)
    return None if lines is None else _after_lines(lines, quoting=form.startswith("CSV"))


def ending(form: str) -> bytes:
    """The bytes that must follow the last block of a joined, non-empty result."""
    return _END_OF_STREAM if form == "ArrowStream" else b""


_CONTENT_TYPES = (
    (("TabSeparated", "TSV", "TSKV"), "text/tab-separated-values; charset=UTF-8"),
    (("JSONEachRow", "JSONLines", "NDJSON", "JSONStringsEachRow"), "application/x-ndjson"),
    (("JSON",), "application/json; charset=UTF-8"),
    (("XML",), "application/xml; charset=UTF-8"),
    (("Native", "RowBinary", "Parquet", "Arrow", "ORC", "Avro"), "application/octet-stream"),
)


def content_type(form: str) -> str:
    """The Content-Type that ClickHouse sends for a format."""
    if form.startswith("CSV"):
        return f"text/csv; charset=UTF-8; header={'present' if 'Names' in form else 'absent'}"
    types = (kind for names, kind in _CONTENT_TYPES if form.startswith(names))
    return next(types, "text/plain; charset=UTF-8")
