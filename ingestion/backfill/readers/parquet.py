"""Parquet: each row becomes a JSON object of its columns, nested ones included."""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from decimal import Decimal
from shutil import copyfileobj
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from ingestion.backfill.file import HistoryFile
from ingestion.backfill.readers.opening import Block, opened, readable
from ingestion.ddl.spec import ColumnSpec

_ROWS = 10_000
_OPTIONS = orjson.OPT_NAIVE_UTC | orjson.OPT_UTC_Z


def read(file: HistoryFile, columns: Sequence[ColumnSpec]) -> Iterator[Block]:
    """All rows, with their columns as they are named in the file."""
    with readable(file), _seekable(file) as source, pq.ParquetFile(source) as rows:
        total, done = max(1, rows.metadata.num_rows), 0
        for batch in rows.iter_batches(_ROWS):
            done += batch.num_rows
            yield Block(_messages(batch), file.size * done // total)


@contextmanager
def _seekable(file: HistoryFile) -> Iterator[Any]:
    """Parquet is read from its end, so a compressed file is laid out whole first."""
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
    columns = [_values(column) for column in batch.columns]
    return [
        orjson.dumps(dict(zip(names, row, strict=True)), option=_OPTIONS)
        for row in zip(*columns, strict=True)
    ]


def _values(column: pa.Array) -> list[Any]:
    values: list[Any] = column.to_pylist()
    if pa.types.is_integer(column.type) or pa.types.is_boolean(column.type):
        return values
    return [_value(value) for value in values]


def _value(value: Any) -> Any:
    """``value`` as orjson can write it, with all its digits, and never in silence as null."""
    convert = _CONVERT.get(type(value))
    return value if convert is None else convert(value)


def _float(value: float) -> Any:
    return value if math.isfinite(value) else str(value)


def _decimal(value: Decimal) -> Any:
    return orjson.Fragment(format(value, "f")) if value.is_finite() else str(value)


def _bytes(value: bytes) -> Any:
    text = value.decode("utf-8", "surrogateescape")
    return _text(text)


def _text(value: str) -> Any:
    """Broken UTF-8 goes along as it is, and is judged with the message."""
    if value.isascii():
        return value
    return orjson.Fragment(json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogateescape"))


def _list(value: list[Any]) -> Any:
    # A map is a list of pairs (pyarrow.MapArray).
    if value and isinstance(value[0], tuple):
        return {str(key): _value(inner) for key, inner in value}
    return [_value(inner) for inner in value]


_CONVERT: dict[type, Callable[[Any], Any]] = {
    float: _float,
    Decimal: _decimal,
    bytes: _bytes,
    str: _text,
    list: _list,
    dict: lambda value: {key: _value(inner) for key, inner in value.items()},
    timedelta: lambda value: value.total_seconds(),
}
