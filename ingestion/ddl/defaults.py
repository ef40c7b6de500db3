"""Defaults, given as JSON: whether one fits its column's type, and how it is written in SQL."""

from __future__ import annotations

import ipaddress
import json
import math
import re
import uuid
from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from ingestion.ddl.types import CONTAINERS, INTEGERS, ColumnType
from tenants.warehouse.quoting import string


def literal(kind: ColumnType, default: str) -> str:
    """A default that fits, as a constant expression of its type."""
    return f"CAST({_literal(kind, _loaded(default))}, {string(str(kind))})"


def _literal(kind: ColumnType, value: Any) -> str:
    if value is None:
        return "NULL"
    if kind.name == "Array":
        return f"[{', '.join(_literal(kind.inner, one) for one in value)}]"
    if kind.name == "Map":
        parts = (f"{string(key)}, {_literal(kind.inner, one)}" for key, one in value.items())
        return f"map({', '.join(parts)})"
    if kind.name == "Tuple":
        members = (_literal(inner, value.get(name)) for name, inner in kind.members)
        return f"tuple({', '.join(members)})"
    bare = kind.bare
    if bare.name.startswith("DateTime"):
        return _time_literal(bare, value)
    shown = str(value).lower() if isinstance(value, bool) else str(value)
    return f"CAST({string(shown)}, {string(str(bare))})"


def _time_literal(kind: ColumnType, value: Any) -> str:
    zones = [str(one) for one in kind.args if isinstance(one, str)]
    zone, digits = string(zones[0] if zones else "UTC"), kind.number if "64" in kind.name else 0
    if isinstance(value, str):
        return f"parseDateTime64BestEffort({string(value)}, {digits}, {zone})"
    milliseconds = value * 1000 if abs(value) < 100_000_000_000 else value
    return f"fromUnixTimestamp64Milli({milliseconds}, {zone})"


def _loaded(default: str) -> Any:
    return json.loads(default, parse_float=Decimal, parse_constant=_refuse)


def problem_of(kind: ColumnType, default: str) -> str:
    """What is wrong with a default; empty if it fits the type."""
    try:
        value = _loaded(default)
    except ValueError:
        return f"{default!r} is not JSON. Write text in double quotes, and numbers without quotes."
    return "" if _fits(kind, value) else f"{default} is not a value of the type {kind}."


def _refuse(constant: str) -> Any:
    raise ValueError(constant)


def _fits(kind: ColumnType, value: Any) -> bool:
    if kind.name in CONTAINERS:
        return _fits_container(kind, value)
    if value is None:
        return kind.is_nullable
    bare = kind.bare
    if bare.name in INTEGERS:
        low, high = INTEGERS[bare.name]
        return _is_number(value) and value == int(value) and low <= value <= high
    try:
        return _RULES[bare.name](bare, value)
    except (ValueError, InvalidOperation, OverflowError):
        return False


def _fits_container(kind: ColumnType, value: Any) -> bool:
    if kind.name == "Array":
        return isinstance(value, list) and all(_fits(kind.inner, one) for one in value)
    if kind.name == "Map":
        return isinstance(value, dict) and all(_fits(kind.inner, one) for one in value.values())
    return _fits_tuple(kind, value)


def _fits_tuple(kind: ColumnType, value: Any) -> bool:
    if not isinstance(value, dict) or not value.keys() <= dict(kind.members).keys():
        return False
    return all(_fits(inner, value.get(name)) for name, inner in kind.members)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | Decimal) and not isinstance(value, bool)


def _float(kind: ColumnType, value: Any) -> bool:
    limit = 3.4e38 if kind.name == "Float32" else 1.7e308
    return _is_number(value) and math.isfinite(float(value)) and abs(value) <= Decimal(limit)


def _decimal(kind: ColumnType, value: Any) -> bool:
    if not _is_number(value):
        return False
    digits, scale = int(str(kind.args[0])), int(str(kind.args[1]))
    number = Decimal(value).normalize()
    exponent = int(number.as_tuple().exponent)
    return -exponent <= scale and abs(number) < Decimal(10) ** (digits - scale)


def _datetime(kind: ColumnType, value: Any) -> bool:
    if isinstance(value, str):
        return bool(re.match(r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}", value)) and bool(
            datetime.fromisoformat(value)
        )
    return isinstance(value, int) and not isinstance(value, bool)


def _text(check: Callable[[ColumnType, str], Any]) -> Callable[[ColumnType, Any], bool]:
    return lambda kind, value: isinstance(value, str) and bool(check(kind, value))


_RULES: dict[str, Callable[[ColumnType, Any], bool]] = {
    "Float32": _float,
    "Float64": _float,
    "Decimal": _decimal,
    "Bool": lambda _, value: isinstance(value, bool),
    "String": _text(lambda *_: True),
    "FixedString": _text(lambda kind, value: len(value.encode()) == kind.number),
    "Enum8": _text(lambda kind, value: value in kind.names),
    "Enum16": _text(lambda kind, value: value in kind.names),
    "UUID": _text(lambda _, value: len(value) == 36 and uuid.UUID(value) is not None),
    "IPv4": _text(lambda _, value: ipaddress.IPv4Address(value) is not None),
    "IPv6": _text(lambda _, value: ipaddress.IPv6Address(value) is not None),
    "Date": _text(lambda _, value: date.fromisoformat(value)),
    "Date32": _text(lambda _, value: date.fromisoformat(value)),
    "DateTime": _datetime,
    "DateTime64": _datetime,
}
