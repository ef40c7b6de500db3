"""Reads Parquet: each row becomes a JSON object of its columns, including nested ones."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import pyarrow as pa
import pyarrow.parquet as pq

from ingestion.backfill.errors import FileUnreadable
from ingestion.backfill.file import HistoryFile
from ingestion.backfill.readers import int96, json_columns, needed
from ingestion.backfill.readers.opening import Block, Remark, opened, readable, unheard
from ingestion.backfill.readers.values import unknown
from ingestion.ddl.paths import Segments
from ingestion.ddl.spec import ColumnSpec

_ROWS = 10_000
#: What a file with a second compression may unpack to: this many bytes, or times its own size. A
#: file made to do harm unpacks to a thousand times its size, and would fill the disk.
_UNPACKED, _TIMES = 256 << 20, 100
_BLOCK = 1 << 20
_LISTS = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)


def read(
    file: HistoryFile, columns: Sequence[ColumnSpec], remark: Remark = unheard
) -> Iterator[Block]:
    """Read all rows, with the columns' names in the file."""
    with (
        readable(file),
        _seekable(file) as path,
        pa.OSFile(path) as source,
        pa.OSFile(path) as again,
        pq.ParquetFile(source) as rows,
    ):
        _check_schema(file, rows.schema_arrow, columns, remark)
        total, done = max(1, rows.metadata.num_rows), 0
        with int96.milliseconds(again, rows, _ROWS) as coarse:
            for batch in rows.iter_batches(_ROWS):
                done += batch.num_rows
                yield Block(_messages(batch, next(coarse)), file.size * done // total)


def _check_schema(
    file: HistoryFile, schema: pa.Schema, columns: Sequence[ColumnSpec], remark: Remark
) -> None:
    names = schema.names
    row_type = pa.struct(list(schema))
    for field in schema:
        if (kind := unknown(field.type)) is not None:
            msg = f"{file.shown}: its column {field.name!r} has the type {kind}, which can't be "
            raise FileUnreadable(msg + "read. Write it as another type, such as text.")
    if repeated := _repeated(row_type):
        msg = f"{file.shown}: it has {', '.join(map(repr, repeated))} more than once."
        raise FileUnreadable(msg)

    def is_in_schema(column: ColumnSpec) -> bool:
        return _has(row_type, column.segments)

    needed.check(file, columns, is_in_schema, names, _paths(row_type), remark)


def _paths(kind: pa.DataType, before: str = "") -> Iterator[str]:
    """The paths of all fields within a struct."""
    if pa.types.is_struct(kind):
        for field in kind:
            yield (path := before + field.name)
            yield from _paths(field.type, f"{path}.")


def _repeated(kind: pa.DataType, before: str = "") -> list[str]:
    """The paths of fields that a struct has twice, which one JSON object can't hold."""
    fields = [kind.field(place) for place in range(kind.num_fields)]
    names = [field.name for field in fields]
    own = {name for name in names if names.count(name) > 1} if pa.types.is_struct(kind) else set()
    inner = (_repeated(field.type, f"{before}{field.name}.") for field in fields)
    return sorted({before + name for name in own}.union(*inner))


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
def _seekable(file: HistoryFile) -> Iterator[str]:
    """The file's path, or of a temporary one with it decompressed: it is read from its end."""
    if file.compression is None:
        yield str(file.path)
        return
    most = max(_UNPACKED, _TIMES * file.size)
    with tempfile.NamedTemporaryFile() as whole:
        with opened(file) as (stream, _):
            while block := stream.read(_BLOCK):
                whole.write(block)
                if whole.tell() > most:
                    msg = (
                        f"{file.shown}: it unpacks to more than {_TIMES} times its size. Parquet "
                        "compresses its columns itself: load it without a second compression."
                    )
                    raise FileUnreadable(msg)
        whole.flush()
        yield whole.name


def _messages(batch: pa.RecordBatch, coarse: Mapping[int, pa.Array]) -> list[bytes]:
    """The rows as JSON. ``coarse``: the columns with INT96 in milliseconds, by their index."""
    columns = [
        int96.whole_values(column, coarse[place]) if place in coarse else column
        for place, column in enumerate(batch.columns)
    ]
    return json_columns.messages(batch.schema.names, columns)
