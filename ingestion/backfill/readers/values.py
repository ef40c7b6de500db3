"""Converts Arrow's values to JSON with all their digits. No value silently becomes null.

Times are written from their integers. Python's datetime has only microseconds and the years 1 to
9999, while INT96, which Spark and Impala write, has nanoseconds.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import islice
from typing import Any
from uuid import UUID

import orjson
import pyarrow as pa
import pyarrow.compute as pc

_A_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def values(column: pa.Array) -> list[Any]:
    """The values of a column in a form that orjson can write; raises TypeError for other types."""
    for is_of, convert in _BY_TYPE:
        if is_of(column.type):
            return convert(column)
    msg = f"{column.type} is no type that can be written as JSON"
    raise TypeError(msg)


def unknown(kind: pa.DataType) -> pa.DataType | None:
    """The type, or one within it, that ``values`` does not know; None if it knows all of them."""
    if isinstance(kind, pa.BaseExtensionType):
        return unknown(kind.storage_type)
    if pa.types.is_dictionary(kind):
        return unknown(kind.value_type)
    if not any(is_of(kind) for is_of, _ in _BY_TYPE):
        return kind
    inner = (unknown(kind.field(place).type) for place in range(kind.num_fields))
    return next((one for one in inner if one is not None), None)


# --- Times, from their integers -----------------------------------------------------------------


def _timestamps(column: pa.Array) -> list[str | None]:
    unit = _A_SECOND[column.type.unit]
    return [
        None if ticks is None else instant(ticks // unit, ticks % unit, unit)
        for ticks in column.cast(pa.int64()).to_pylist()
    ]


def instant(seconds: int, rest: int, unit: int) -> str:
    """The time in ISO 8601. ``rest``: what is beyond whole seconds, in ``unit`` parts of one."""
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
        return _binaries(column.cast(pa.large_binary()))


def _binaries(column: pa.Array) -> list[Any]:
    return [None if value is None else _bytes(value) for value in column.to_pylist()]


def _floats(column: pa.Array) -> list[Any]:
    return [None if value is None else _float(value) for value in column.to_pylist()]


def _decimals(column: pa.Array) -> list[Any]:
    return [None if value is None else _decimal(value) for value in column.to_pylist()]


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
        _object(keys[start - first : end - first], items[start - first : end - first])
        if is_valid
        else None
        for start, end, is_valid in zip(ends, ends[1:], _validity(column), strict=False)
    ]


def _object(keys: list[Any], items: list[Any]) -> Any:
    """A map as a JSON object. One that has a key twice is an array of pairs, and fits no map.

    An object with that key twice would land with the last of its values alone.
    """
    names = [_key(key) for key in keys]
    if len(set(names)) < len(names):
        pairs = zip(names, items, strict=True)
        return [[orjson.Fragment(name), item] for name, item in pairs]
    members = (name + b":" + orjson.dumps(item) for name, item in zip(names, items, strict=True))
    return orjson.Fragment(b"{" + b",".join(members) + b"}")


def _key(key: Any) -> bytes:
    """The key as a JSON string: of a number or an object, the text of its JSON."""
    text = orjson.dumps(key)
    if text.startswith(b'"'):
        return text
    return orjson.dumps(_text(text.decode("utf-8", "surrogateescape")))


def _validity(column: pa.Array) -> list[bool]:
    validity: list[bool] = column.is_valid().to_pylist()
    return validity


def _decoded(column: pa.Array) -> list[Any]:
    return values(column.dictionary_decode())


def _uuids(column: pa.Array) -> list[str | None]:
    stored = column.storage.to_pylist()
    return [None if value is None else str(UUID(bytes=value)) for value in stored]


def _flags(column: pa.Array) -> list[bool | None]:
    """Of Arrow's bool8, which takes every number but 0 for true."""
    return [None if number is None else bool(number) for number in column.storage.to_pylist()]


def _stored(column: pa.Array) -> list[Any]:
    return values(column.storage)


def _is_uuid(kind: pa.DataType) -> bool:
    return isinstance(kind, pa.UuidType)


def _is_bool8(kind: pa.DataType) -> bool:
    return isinstance(kind, pa.Bool8Type)


def _is_binary(kind: pa.DataType) -> bool:
    is_of = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_fixed_size_binary)
    return pa.types.is_binary_view(kind) or any(check(kind) for check in is_of)


def _is_extension(kind: pa.DataType) -> bool:
    return isinstance(kind, pa.BaseExtensionType)


_BY_TYPE: tuple[tuple[Callable[[pa.DataType], bool], Callable[[pa.Array], list[Any]]], ...] = (
    # Before other kinds, whose storage they have.
    (_is_uuid, _uuids),
    (_is_bool8, _flags),
    (_is_extension, _stored),
    (pa.types.is_integer, lambda column: column.to_pylist()),
    (pa.types.is_boolean, lambda column: column.to_pylist()),
    (pa.types.is_string, _texts),
    (pa.types.is_large_string, _texts),
    (pa.types.is_string_view, _texts),
    (pa.types.is_timestamp, _timestamps),
    (pa.types.is_date, _dates),
    (pa.types.is_time, _times),
    (pa.types.is_duration, _durations),
    (pa.types.is_struct, _structs),
    (pa.types.is_map, _maps),
    (pa.types.is_list, _lists),
    (pa.types.is_large_list, _lists),
    (pa.types.is_fixed_size_list, _lists),
    (pa.types.is_list_view, _lists),
    (pa.types.is_large_list_view, _lists),
    (pa.types.is_dictionary, _decoded),
    (pa.types.is_null, lambda column: column.to_pylist()),
    (pa.types.is_floating, _floats),
    (pa.types.is_decimal, _decimals),
    (_is_binary, _binaries),
)


# --- Single values ------------------------------------------------------------------------------


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
