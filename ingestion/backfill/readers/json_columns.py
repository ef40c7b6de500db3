"""Writes rows of Arrow's columns as JSON objects, column by column.

Numbers, texts, times, booleans and structs are written by Arrow, some ten times as fast as by
Python. Every other type, and a column with a value that Arrow would write in another way than
``values``, is written value by value. The bytes are the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from ingestion.backfill.readers.values import values

_BINARY = pa.large_binary()
#: What a JSON string can't hold as it is.
_ESCAPED = r'["\\\x00-\x1f]'
#: The days and seconds since 1970 of the years 1 to 9999.
_DAYS = (-719_162, 2_932_896)
_SECONDS = (_DAYS[0] * 86_400, (_DAYS[1] + 1) * 86_400 - 1)
_UNITS = ("s", "ms", "us", "ns")


def messages(names: Sequence[str], columns: Sequence[pa.Array | list[Any]]) -> list[bytes]:
    """The rows as JSON objects. A column may be a list of values that orjson can write."""
    rows: list[bytes] = _objects(names, columns).to_pylist()
    return rows


def _objects(names: Sequence[str], columns: Sequence[pa.Array | list[Any]]) -> pa.Array:
    """The JSON objects with these members, without nulls."""
    parts: list[Any] = []
    for name, column in zip(names, columns, strict=True):
        start = b"," if parts else b"{"
        parts += [pa.scalar(start + orjson.dumps(name) + b":", _BINARY), _json(column)]
    last = pa.scalar(b"}", _BINARY)
    return pc.binary_join_element_wise(*parts, last, pa.scalar(b"", _BINARY))


def _json(column: pa.Array | list[Any]) -> pa.Array:
    """The column's values as JSON texts, without nulls."""
    if isinstance(column, list):
        return pa.array([orjson.dumps(value) for value in column], _BINARY)
    written = _by_arrow(column)
    if written is None:
        return _json(values(column))
    if not written.null_count:
        return written
    # Not made once for all: with the first value, Arrow imports pandas where it is installed, which
    # would take half a second of each process that starts.
    return pc.coalesce(written, pa.scalar(b"null", _BINARY))


def _by_arrow(column: pa.Array) -> pa.Array | None:
    """The column's JSON texts, with nulls; None if Arrow does not write them as ``values`` does."""
    kind = column.type
    if pa.types.is_integer(kind) or pa.types.is_boolean(kind):
        return _text_of(column)
    if pa.types.is_floating(kind):
        return _float(column)
    if pa.types.is_dictionary(kind) and pa.types.is_string(kind.value_type):
        return _by_arrow(column.dictionary_decode())
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return _string(column.cast(_BINARY))
    if pa.types.is_struct(kind) and kind.num_fields:
        objects = _objects([field.name for field in kind], column.flatten())
        return pc.if_else(column.is_valid(), objects, pa.scalar(None, _BINARY))
    return _time(column)


def _time(column: pa.Array) -> pa.Array | None:
    kind = column.type
    if pa.types.is_date32(kind):
        return _quoted(column) if _is_between(column.cast(pa.int32()), *_DAYS) else None
    if pa.types.is_timestamp(kind):
        return _timestamp(column.cast(pa.int64()), _UNITS.index(kind.unit))
    return None


def _float(column: pa.Array) -> pa.Array | None:
    """Not what one of the two writes with an exponent, nor NaN and infinities."""
    column = column.cast(pa.float64())
    size = pc.abs(column)
    is_plain = pc.and_(pc.greater_equal(size, 1e-4), pc.less(size, 1e10))
    if pc.all(pc.or_(is_plain, pc.equal(size, 0))).as_py() is False:
        return None
    text = column.cast(pa.string())
    # Arrow writes whole numbers without their fraction.
    whole = pc.binary_join_element_wise(text, ".0", "")
    return pc.if_else(pc.equal(pc.floor(column), column), whole, text).cast(_BINARY)


def _string(column: pa.Array) -> pa.Array | None:
    if pc.any(pc.match_substring_regex(column, _ESCAPED)).as_py():
        return None
    return _in_quotes(column, b'"')


def _timestamp(ticks: pa.Array, unit: int) -> pa.Array | None:
    """Times in the coarsest unit that holds all of them: zeros at the end are not written."""
    while unit:
        coarser = pc.divide(ticks, 1000)
        if pc.any(pc.not_equal(pc.multiply(coarser, 1000), ticks)).as_py():
            break
        ticks, unit = coarser, unit - 1
    a_second = 1000**unit
    if not _is_between(ticks, _SECONDS[0] * a_second, _SECONDS[1] * a_second):
        return None
    text = ticks.cast(pa.timestamp(_UNITS[unit])).cast(pa.string())
    text = pc.replace_substring(text, " ", "T", max_replacements=1)
    if unit:
        text = pc.ascii_rtrim(pc.ascii_rtrim(text, "0"), ".")
    return _in_quotes(text.cast(_BINARY), b'Z"')


def _is_between(column: pa.Array, least: int, most: int) -> bool:
    bounds = pc.min_max(column).as_py()
    return bounds["min"] is None or (least <= bounds["min"] and bounds["max"] <= most)


def _text_of(column: pa.Array) -> pa.Array:
    return column.cast(pa.string()).cast(_BINARY)


def _quoted(column: pa.Array) -> pa.Array:
    return _in_quotes(_text_of(column), b'"')


def _in_quotes(column: pa.Array, end: bytes) -> pa.Array:
    quote, last, nothing = (pa.scalar(text, _BINARY) for text in (b'"', end, b""))
    return pc.binary_join_element_wise(quote, column, last, nothing)
