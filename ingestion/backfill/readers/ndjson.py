"""Reads JSON: a row is a line, an element of one array, or an object over several lines.

The bytes of each row are a message already, so nothing is parsed here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from ingestion.backfill.errors import FileUnreadable
from ingestion.backfill.file import HistoryFile
from ingestion.backfill.readers import head
from ingestion.backfill.readers.elements import Elements
from ingestion.backfill.readers.encoding import BOM, opened_as_utf_8
from ingestion.backfill.readers.head import Shape
from ingestion.backfill.readers.opening import Block, Remark, readable, unheard
from ingestion.ddl.spec import ColumnSpec

_BYTES = 4 << 20
#: The longest line in bytes; a file without line ends would fill the memory.
_LINE_BYTES = 256 << 20


def read(file: HistoryFile, columns: Sequence[ColumnSpec], _: Remark = unheard) -> Iterator[Block]:
    """Read the lines that are not blank, or the elements of other JSON than one object a line."""
    with readable(file):
        shape = head.shape(file)
    with readable(file), opened_as_utf_8(file) as (stream, raw):
        data = _data(stream)
        if shape is Shape.LINES:
            rows = _lines(file, data)
        else:
            rows = Elements(file, is_array=shape is Shape.ARRAY).of(data)
        for messages in rows:
            yield Block(messages, raw.tell())


def _data(stream: Any) -> Iterator[bytes]:
    """The text in blocks, without a byte order mark."""
    data = stream.read(_BYTES).removeprefix(BOM)
    while data:
        yield data
        data = stream.read(_BYTES)


def _lines(file: HistoryFile, data: Iterator[bytes]) -> Iterator[list[bytes]]:
    rest = b""
    for block in data:
        lines = (rest + block).split(b"\n")
        rest = lines.pop()
        if len(rest) > _LINE_BYTES:
            limit = _LINE_BYTES >> 20
            msg = f"{file.shown}: it has a line of more than {limit} MiB, the most that is read."
            raise FileUnreadable(msg)
        yield _filled(lines)
    yield _filled([rest])


def _filled(lines: list[bytes]) -> list[bytes]:
    return [line for line in lines if line and not line.isspace()]
