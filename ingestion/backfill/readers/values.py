"""Converts Arrow's values to JSON with all their digits. No value silently becomes null.

Times are written from their integers. Python's datetime has only microseconds and the years 1 to
9999, while INT96, which Spark and Impala write, has nanoseconds.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import islice
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc

_A_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def values(column: pa.Array) -> list[Any]:
    """The values of a column in a form that orjson can write."""
    kind = column.type
    for is_of, convert in _BY_TYPE:
        if is_of(kind):
            return convert(column)
    return [_value(value) for value in column.to_pylist()]


# --- Times, from their integers -----------------------------------------------------------------


def _timestamps(column: pa.Array) -> list[str | None]:
    unit = _A_SECOND[column.type.unit]
    return [
        None if ticks is None else _instant(ticks // unit, ticks % unit, unit)
        for ticks in column.cast(pa.int64()).to_pylist()
    ]


def _instant(seconds: int, rest: int, unit: int) -> str:
    try:
        whole = (_EPOCH + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S")
    except OverflowError:
        # A year that datetime does not have: ClickHouse judges it as a text that is not a time.
        return f"{seconds} seconds since 1970"
    return f"{whole:0>19}{_fraction(rest, unit)}Z"


def _fraction(rest: int, unit: int) -> str:
    """The decimals of a second, without trailing zeros."""
    digits = f"{rest:0{len(str(unit)) - 1}d}".rstrip("0") if rest else ""
    return f".{digits}" if digits else ""


def _times(column: pa.Array) -> list[str | None]:
    unit = _A_SECOND[column.type.unit]
    whole = pa.int32() if pa.types.is_time32(column.type) else pa.int64()
    return [
        None if ticks is None else _clock(ticks // unit, ticks % unit, unit)
        for ticks in column.cast(whole).to_pylist()
    ]


def _clock(seconds: int, rest: int, unit: int) -> str:
    minutes, seconds = divmod(seconds, 60)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{seconds:02d}{_fraction(rest, unit)}"


def _dates(column: pa.Array) -> list[str | None]:
    days = column.cast(pa.date32()).cast(pa.int32()).to_pylist()
    return [None if number is None else _day(number) for number in days]


def _day(days: int) -> str:
    try:
        return (date(1970, 1, 1) + timedelta(days=days)).isoformat()
    except OverflowError:
        return f"{days} days since 1970"


def _durations(column: pa.Array) -> list[Any]:
    unit = _A_SECOND[column.type.unit]
    seconds = (
        None if ticks is None else Decimal(ticks).scaleb(1 - len(str(unit)))
        for ticks in column.cast(pa.int64()).to_pylist()
    )
    return [None if duration is None else _decimal(duration) for duration in seconds]


# --- Texts and what holds other values ----------------------------------------------------------


def _texts(column: pa.Array) -> list[Any]:
    try:
        return [None if text is None else _text(text) for text in column.to_pylist()]
    except UnicodeDecodeError:
        raw = column.cast(pa.large_binary()).to_pylist()
        return [None if value is None else _bytes(value) for value in raw]


def _structs(column: pa.Array) -> list[Any]:
    names = [column.type.field(place).name for place in range(column.type.num_fields)]
    fields = [values(field) for field in column.flatten()]
    rows = zip(*fields, strict=True) if fields else iter([()] * len(column))
    return [
        dict(zip(names, row, strict=True)) if is_valid else None
        for row, is_valid in zip(rows, _validity(column), strict=True)
    ]


def _lists(column: pa.Array) -> list[Any]:
    elements = iter(values(column.flatten()))
    lengths = pc.list_value_length(column).to_pylist()
    return [None if length is None else list(islice(elements, length)) for length in lengths]


def _maps(column: pa.Array) -> list[Any]:
    ends = column.offsets.to_pylist()
    keys, items = values(column.keys), values(column.items)
    first = 0 if len(keys) == ends[-1] else ends[0]
    return [
        dict(_pairs(keys, items, start - first, end - first)) if is_valid else None
        for start, end, is_valid in zip(ends, ends[1:], _validity(column), strict=False)
    ]


def _pairs(keys: list[Any], items: list[Any], start: int, end: int) -> Iterator[tuple[str, Any]]:
    for key, item in zip(keys[start:end], items[start:end], strict=True):
        yield (key if isinstance(key, str) else orjson.dumps(key).decode()), item


def _validity(column: pa.Array) -> list[bool]:
    validity: list[bool] = column.is_valid().to_pylist()
    return validity


def _decoded(column: pa.Array) -> list[Any]:
    return values(column.dictionary_decode())


def _stored(column: pa.Array) -> list[Any]:
    return values(column.storage)


def _is_extension(kind: pa.DataType) -> bool:
    return isinstance(kind, pa.BaseExtensionType)


_BY_TYPE: tuple[tuple[Callable[[pa.DataType], bool], Callable[[pa.Array], list[Any]]], ...] = (
    (pa.types.is_integer, lambda column: column.to_pylist()),
    (pa.types.is_boolean, lambda column: column.to_pylist()),
    (pa.types.is_string, _texts),
    (pa.types.is_large_string, _texts),
    (pa.types.is_timestamp, _timestamps),
    (pa.types.is_date, _dates),
    (pa.types.is_time, _times),
    (pa.types.is_duration, _durations),
    (pa.types.is_struct, _structs),
    (pa.types.is_map, _maps),
    (pa.types.is_list, _lists),
    (pa.types.is_large_list, _lists),
    (pa.types.is_fixed_size_list, _lists),
    (pa.types.is_dictionary, _decoded),
    (_is_extension, _stored),
)


# --- Single values ------------------------------------------------------------------------------


def _value(value: Any) -> Any:
    convert = _CONVERT.get(type(value))
    return value if convert is None else convert(value)


def _float(value: float) -> Any:
    return value if math.isfinite(value) else str(value)


def _decimal(value: Decimal) -> Any:
    return orjson.Fragment(format(value, "f")) if value.is_finite() else str(value)


def _bytes(value: bytes) -> Any:
    return _text(value.decode("utf-8", "surrogateescape"))


def _text(value: str) -> Any:
    """A text for orjson. Broken UTF-8 is passed on unchanged; ClickHouse judges the message."""
    if value.isascii():
        return value
    return orjson.Fragment(json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogateescape"))


_CONVERT: dict[type, Callable[[Any], Any]] = {
    float: _float,
    Decimal: _decimal,
    bytes: _bytes,
    str: _text,
}
