"""Checks the beginning of a text file for signs that it is not what its name says."""

from __future__ import annotations

import json

from ingestion.backfill.errors import FileUnreadable
from ingestion.backfill.file import HistoryFile
from ingestion.backfill.readers.opening import opened

#: How many bytes are checked, after decompression.
_BYTES = 256 << 10
_BOM = b"\xef\xbb\xbf"
_UTF_16 = (b"\xff\xfe", b"\xfe\xff", b"\0\0\xfe\xff")
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


def read(file: HistoryFile) -> bytes:
    """The file's beginning, decompressed; raises FileUnreadable if it is not UTF-8 text."""
    with opened(file) as (stream, _):
        head: bytes = stream.read(_BYTES)
    if not head.strip():
        raise _wrong(file, "it is empty")
    if head.startswith(_UTF_16) or _alternates(head):
        raise _wrong(file, "it is UTF-16 or UTF-32; save it as UTF-8")
    for magic, words in _MAGIC.items():
        if head.startswith(magic):
            raise _wrong(file, words)
    return head.removeprefix(_BOM)


def read_json(file: HistoryFile) -> bytes:
    """The beginning of an NDJSON file; raises FileUnreadable if it can't be one object a line."""
    head = read(file).lstrip()
    if head.startswith(b"["):
        raise _wrong(
            file, "it is a JSON array; write one element on each line, as jq -c '.[]' does"
        )
    if _is_pretty(head):
        raise _wrong(
            file, "it is JSON over several lines; write each object on one line, as jq -c . does"
        )
    lines = head.splitlines()
    if not any(line.lstrip().startswith(b"{") for line in lines):
        shown = lines[0][:80].decode("utf-8", "replace")
        raise _wrong(file, f"none of its lines starts a JSON object; the first is {shown!r}")
    return head


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
