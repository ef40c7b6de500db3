"""A reader for each file format. All yield the file's rows as JSON messages, in order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from ingestion.backfill.file import Format, HistoryFile
from ingestion.backfill.readers import delimited, ndjson, parquet
from ingestion.backfill.readers.delimited import delimiter_of
from ingestion.backfill.readers.encoding import encoding_of
from ingestion.backfill.readers.opening import Block, Remark, unheard
from ingestion.ddl.spec import ColumnSpec


class RowReader(Protocol):
    """Reads files of one format."""

    def __call__(
        self, file: HistoryFile, columns: Sequence[ColumnSpec], remark: Remark = unheard, /
    ) -> Iterator[Block]:
        """Read the file from its beginning; raises FileUnreadable."""
        ...


READERS: Mapping[Format, RowReader] = {
    Format.NDJSON: ndjson.read,
    Format.CSV: delimited.read,
    Format.PARQUET: parquet.read,
}

__all__ = ["READERS", "Block", "Remark", "RowReader", "delimiter_of", "encoding_of", "unheard"]
