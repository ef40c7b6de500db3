"""A reader for each file format. All yield the file's rows as JSON messages, in order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from ingestion.backfill.file import Format, HistoryFile
from ingestion.backfill.readers import delimited, ndjson, parquet
from ingestion.backfill.readers.delimited import delimiter_of
from ingestion.backfill.readers.encoding import encoding_of
from ingestion.backfill.readers.opening import Block
from ingestion.ddl.spec import ColumnSpec

#: Reads the file from its beginning; raises FileUnreadable.
Reader = Callable[[HistoryFile, Sequence[ColumnSpec]], Iterator[Block]]

READERS: Mapping[Format, Reader] = {
    Format.NDJSON: ndjson.read,
    Format.CSV: delimited.read,
    Format.PARQUET: parquet.read,
}

__all__ = ["READERS", "Block", "Reader", "delimiter_of", "encoding_of"]
