"""Checks the beginning of a text file for signs that it is not what its name says."""

from __future__ import annotations

import json
from enum import StrEnum

from ingestion.backfill.errors import FileUnreadable
from ingestion.backfill.file import HistoryFile
from ingestion.backfill.read_options import UTF_8
from ingestion.backfill.readers.encoding import BOM, encoding_of, opened_as_utf_8
from ingestion.backfill.readers.opening import opened

#: How many bytes are checked, after decompression.
_BYTES = 256 << 10
#: How files of other formats begin, and what to do with such a file.
_MAGIC = {
    b"\x1f\x8b": "it is gzip; name it .gz, after the suffix of its content",
    b"\x28\xb5\x2f\xfd": "it is zstd; name it .zst, after the suffix of its content",
    b"PAR1": "it is Parquet; name it .parquet, or give --format parquet",
    b"PK\x03\x04": "it is a zip archive or a spreadsheet; unpack it, or save it as CSV",
    b"BZh": "it is bzip2; unpack it first",
    b"\xfd7zXZ\0": "it is xz; unpack it first",
    b"ORC": "it is ORC; convert it to Parquet",
    b"Obj\x01": "it is Avro; convert it to Parquet",
    b"SQLite format 3\0": "it is an SQLite database; export its table as CSV",
    b"%PDF": "it is a PDF",
}
_decoder = json.JSONDecoder()


class Shape(StrEnum):
    """How a JSON file holds its rows."""

    LINES = "one object on each line"
    OBJECTS = "objects over several lines"
    ARRAY = "the elements of one array"


def read(file: HistoryFile) -> bytes:
    """The file's beginning, as UTF-8 without a mark; raises FileUnreadable if it is no text."""
    with opened(file) as (stream, _):
        raw: bytes = stream.read(_BYTES)
    if not raw.strip():
        raise _wrong(file, "it is empty")
    for magic, words in _MAGIC.items():
        if raw.startswith(magic):
            raise _wrong(file, words)
    if encoding_of(file) == UTF_8 and _alternates(raw):
        raise _wrong(
            file,
            "it is UTF-16 or UTF-32 without a byte order mark; give --encoding utf-16-le, "
            "utf-16-be, utf-32-le or utf-32-be",
        )
    with opened_as_utf_8(file) as (stream, _):
        text: bytes = stream.read(_BYTES)
    if not text.removeprefix(BOM).strip():
        raise _wrong(file, "it is empty")
    return text.removeprefix(BOM)


def shape(file: HistoryFile) -> Shape:
    """How a JSON file holds its rows; raises FileUnreadable if it has none."""
    head = read(file).lstrip()
    if head.startswith(b"["):
        return Shape.ARRAY
    if _is_pretty(head):
        return Shape.OBJECTS
    lines = head.splitlines()
    if not any(line.lstrip().startswith(b"{") for line in lines):
        shown = lines[0][:80].decode("utf-8", "replace")
        raise _wrong(file, f"none of its lines starts a JSON object; the first is {shown!r}")
    return Shape.LINES


def _alternates(head: bytes) -> bool:
    """Whether every second byte is 0, as in ASCII text in UTF-16 without a byte order mark."""
    sample = head[:1000]
    return len(sample) > 3 and (not any(sample[1::2]) or not any(sample[::2]))


def _is_pretty(head: bytes) -> bool:
    """Whether an object begins on the first line and ends on another, or beyond ``head``."""
    first, newline, _ = head.partition(b"\n")
    if not newline or _object_end(first) is not None:
        return False
    return first.strip() == b"{" or _object_end(head) is not None


def _object_end(text: bytes) -> int | None:
    """Where the JSON object ends with which the text begins; None if it begins with none."""
    try:
        value, end = _decoder.raw_decode(text.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return None
    return end if isinstance(value, dict) else None


def _wrong(file: HistoryFile, words: str) -> FileUnreadable:
    return FileUnreadable(f"{file.shown}: it can't be read as {file.format}: {words}.")
