"""Reads INT96, the times of Spark and Impala, also beyond what Arrow's nanoseconds can hold.

Arrow reads INT96 as nanoseconds since 1970 in 64 bits, and silently wraps what is before 1677 or
after 2262, such as 9999-12-31. Milliseconds hold every INT96, but not its last digits. Together
they give the whole: the nanoseconds are right modulo 2^64.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import repeat
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ingestion.backfill.readers.values import instant, values

_NANOSECONDS = 10**9
_A_MILLISECOND = 10**6
#: Milliseconds whose nanoseconds fit 64 bits.
_LAST = (1 << 63) // _A_MILLISECOND - 1


@contextmanager
def milliseconds(source: Any, rows: pq.ParquetFile, count: int) -> Iterator[Iterator[Any]]:
    """For each batch of ``count`` rows, its columns with INT96 in milliseconds, by their index."""
    places = _places(rows)
    if not places:
        yield repeat({})
        return
    with pq.ParquetFile(source, coerce_int96_timestamp_unit="ms") as again:
        batches = again.iter_batches(count)
        yield ({place: batch.column(place) for place in places} for batch in batches)


def _places(rows: pq.ParquetFile) -> list[int]:
    """The indexes of the columns that are INT96 or hold it."""
    schema = rows.schema
    leaves = [schema.column(number) for number in range(len(schema))]
    paths = [leaf.path for leaf in leaves if leaf.physical_type == "INT96"]
    return [
        place
        for place, name in enumerate(rows.schema_arrow.names)
        if any(path == name or path.startswith(f"{name}.") for path in paths)
    ]


def whole_values(wrapped: pa.Array, coarse: pa.Array) -> list[Any]:
    """The values of a column of INT96, read as nanoseconds and as milliseconds.

    Raises ValueError for lists, maps and structs with times that neither of the two can hold.
    """
    if len(wrapped) != len(coarse):
        msg = "its INT96 columns could not be read twice alike"
        raise ValueError(msg)
    if pa.types.is_timestamp(wrapped.type):
        return _instants(wrapped, coarse)
    leaves = list(zip(_leaves(wrapped), _leaves(coarse), strict=True))
    if not any(_is_wrapped(leaf) for _, leaf in leaves):
        return values(wrapped)
    if any(_rests(fine, leaf) for fine, leaf in leaves):
        msg = (
            "a list, map or struct has INT96 times before 1677 or after 2262 beside others with "
            "more than milliseconds. Write them as TIMESTAMP"
        )
        raise ValueError(msg)
    return values(coarse)


def _instants(wrapped: pa.Array, coarse: pa.Array) -> list[Any]:
    if not _is_wrapped(coarse):
        return values(wrapped)
    ticks = zip(_ticks(wrapped).to_pylist(), _ticks(coarse).to_pylist(), strict=True)
    return [None if fine is None else _instant(fine, leaf) for fine, leaf in ticks]


def _instant(wrapped: int, coarse: int) -> str:
    start = coarse * _A_MILLISECOND
    whole = start + (wrapped - start) % (1 << 64)
    return instant(whole // _NANOSECONDS, whole % _NANOSECONDS, _NANOSECONDS)


def _is_wrapped(coarse: pa.Array) -> bool:
    """Whether nanoseconds can't hold all of these milliseconds."""
    ticks = _ticks(coarse)
    bounds = pc.min_max(ticks).as_py()
    return bounds["min"] is not None and (bounds["min"] < -_LAST or bounds["max"] > _LAST)


def _rests(wrapped: pa.Array, coarse: pa.Array) -> bool:
    """Whether any time has more digits than milliseconds."""
    whole = pc.multiply(_ticks(coarse), pa.scalar(_A_MILLISECOND, pa.int64()))
    return bool(pc.any(pc.not_equal(whole, _ticks(wrapped))).as_py())


def _ticks(column: pa.Array) -> pa.Array:
    return column.cast(pa.int64())


def _leaves(column: pa.Array) -> Iterator[pa.Array]:
    """The arrays of times within a column. Nulls within it hide theirs, in both readings alike."""
    kind = column.type
    if pa.types.is_timestamp(kind):
        yield column
    elif pa.types.is_struct(kind):
        for field in column.flatten():
            yield from _leaves(field)
    elif pa.types.is_map(kind):
        yield from _leaves(column.keys)
        yield from _leaves(column.items)
    elif pa.types.is_list(kind) or pa.types.is_large_list(kind):
        yield from _leaves(column.flatten())
