"""Reads Parquet: each row becomes a JSON object of its columns, including nested ones."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from shutil import copyfileobj
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from ingestion.backfill.errors import FileUnreadable
from ingestion.backfill.file import HistoryFile
from ingestion.backfill.readers import needed
from ingestion.backfill.readers.opening import Block, opened, readable
from ingestion.backfill.readers.values import values
from ingestion.ddl.paths import Segments
from ingestion.ddl.spec import ColumnSpec

_ROWS = 10_000
_LISTS = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)


def read(file: HistoryFile, columns: Sequence[ColumnSpec]) -> Iterator[Block]:
    """Read all rows, with the columns' names in the file."""
    with readable(file), _seekable(file) as source, pq.ParquetFile(source) as rows:
        _check_schema(file, rows.schema_arrow, columns)
        total, done = max(1, rows.metadata.num_rows), 0
        for batch in rows.iter_batches(_ROWS):
            done += batch.num_rows
            yield Block(_messages(batch), file.size * done // total)


def _check_schema(file: HistoryFile, schema: pa.Schema, columns: Sequence[ColumnSpec]) -> None:
    names = schema.names
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        msg = f"{file.shown}: it has {', '.join(map(repr, repeated))} more than once."
        raise FileUnreadable(msg)
    row_type = pa.struct(list(schema))

    def is_in_schema(column: ColumnSpec) -> bool:
        return _has(row_type, column.segments)

    needed.check(file, columns, is_in_schema, names)


def _has(kind: pa.DataType, segments: Segments) -> bool:
    """Whether a value of that type can hold another there. A map can: its keys are data."""
    if not segments:
        return True
    first, rest = segments[0], segments[1:]
    if not isinstance(first, str):
        return any(is_of(kind) for is_of in _LISTS) and _has(kind.value_type, rest)
    if pa.types.is_map(kind):
        return True
    if not pa.types.is_struct(kind):
        return False
    place = kind.get_field_index(first)
    return place >= 0 and _has(kind.field(place).type, rest)


@contextmanager
def _seekable(file: HistoryFile) -> Iterator[Any]:
    """The file, decompressed into a temporary one if need be: Parquet is read from its end."""
    if file.compression is None:
        with pa.OSFile(str(file.path)) as source:
            yield source
        return
    with tempfile.TemporaryFile() as whole:
        with opened(file) as (stream, _):
            copyfileobj(stream, whole)
        whole.seek(0)
        yield whole


def _messages(batch: pa.RecordBatch) -> list[bytes]:
    names = batch.schema.names
    columns = [values(column) for column in batch.columns]
    return [orjson.dumps(dict(zip(names, row, strict=True))) for row in zip(*columns, strict=True)]
