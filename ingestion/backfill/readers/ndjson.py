"""Reads NDJSON: every line is a message already, so nothing is parsed here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ingestion.backfill.errors import FileUnreadable
from ingestion.backfill.file import HistoryFile
from ingestion.backfill.readers import head
from ingestion.backfill.readers.opening import Block, opened, readable
from ingestion.ddl.spec import ColumnSpec

_BYTES = 4 << 20
#: The longest line in bytes; a file without line ends would fill the memory.
_LINE_BYTES = 256 << 20
_BOM = b"\xef\xbb\xbf"


def read(file: HistoryFile, columns: Sequence[ColumnSpec]) -> Iterator[Block]:
    """Read the lines that are not blank."""
    rest = b""
    with readable(file):
        head.read_json(file)
    with readable(file), opened(file) as (stream, raw):
        first = True
        while data := stream.read(_BYTES):
            lines = (rest + (data.removeprefix(_BOM) if first else data)).split(b"\n")
            first, rest = False, lines.pop()
            if len(rest) > _LINE_BYTES:
                limit = _LINE_BYTES >> 20
                msg = (
                    f"{file.shown}: it has a line of more than {limit} MiB, the most that is read."
                )
                raise FileUnreadable(msg)
            yield Block(_filled(lines), raw.tell())
        yield Block(_filled([rest]), file.size)


def _filled(lines: list[bytes]) -> list[bytes]:
    return [line for line in lines if line and not line.isspace()]
