"""SQL that types one JSON value: an expression that is NULL where the value does not fit.

By itself the engine would wrap, cut, null or default a misfit. So each value is first read as the
kind that JSON says (``Dynamic``: Int64, UInt64, Float64, String, Bool), and only then converted to
the column's type, by ``accurateCastOrNull`` or a check of its own. No function used here raises an
exception, because an exception would stop the whole batch.

After a float, a column of ``Dynamic`` reads later integers as floats, too. So no integer or decimal
is taken from a double that may not hold all of its digits: see ``marked``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ingestion.ddl import numbers, times, value_formats
from ingestion.ddl.types import FLOATS, INTEGERS, ColumnType
from ingestion.ddl.value import Value
from tenants.warehouse.quoting import string


def typed(kind: ColumnType, value: Value, form: str = "") -> str:
    """The value as Nullable(``kind``); NULL for a misfit or a missing value.

    ``form``: the column's format, if its values have one.
    """
    if form:
        return value_formats.typed(kind, value, form)
    return _rule(kind).typed(kind, value)


def reason(kind: ColumnType, value: Value, form: str = "") -> str:
    """Why an existing value does not fit; a string, meaningless if the value fits."""
    if form:
        return value_formats.reason(kind, value, form)
    return _rule(kind).reason(kind, value)


# --- Texts --------------------------------------------------------------------------------------


def _bool(kind: ColumnType, value: Value) -> str:
    return value.boolean


def _string(kind: ColumnType, value: Value) -> str:
    return value.text


def _fixed(kind: ColumnType, value: Value) -> str:
    good = f"ifNull(length({value.text}) = {kind.number}, 0)"
    safe = f"toFixedString(if({good}, assumeNotNull({value.text}), ''), {kind.number})"
    return f"if({good}, {safe}, NULL)"


def _enum(kind: ColumnType, value: Value) -> str:
    allowed = ", ".join(string(name) for name in kind.names)
    good = f"ifNull({value.text} IN ({allowed}), 0)"
    known = f"if({good}, assumeNotNull({value.text}), {string(kind.names[0])})"
    safe = f"CAST({known}, {string(str(kind))})"
    return f"if({good}, {safe}, NULL)"


def _uuid(kind: ColumnType, value: Value) -> str:
    return f"if(length({value.text}) = 36, toUUIDOrNull({value.text}), NULL)"


def _ipv4(kind: ColumnType, value: Value) -> str:
    read = f"toIPv4OrNull({value.text})"
    return f"if(toString({read}) = {value.text}, {read}, NULL)"


def _ipv6(kind: ColumnType, value: Value) -> str:
    return f"if(position({value.text}, ':') > 0, toIPv6OrNull({value.text}), NULL)"


def _text_reason(kind: ColumnType, value: Value) -> str:
    return f"if(isNotNull({value.text}), 'invalid_value', 'wrong_type')"


def _wrong_type(kind: ColumnType, value: Value) -> str:
    return "'wrong_type'"


# --- Which rule for which type ------------------------------------------------------------------

Make = Callable[[ColumnType, Value], str]


@dataclass(frozen=True, slots=True)
class _Rule:
    typed: Make
    reason: Make


_RULES = {
    **dict.fromkeys(INTEGERS, _Rule(numbers.integer, numbers.integer_reason)),
    **dict.fromkeys(FLOATS, _Rule(numbers.floating, numbers.floating_reason)),
    "Decimal": _Rule(numbers.decimal, numbers.decimal_reason),
    "Bool": _Rule(_bool, _wrong_type),
    "String": _Rule(_string, _wrong_type),
    "FixedString": _Rule(_fixed, _text_reason),
    "Enum8": _Rule(_enum, _text_reason),
    "Enum16": _Rule(_enum, _text_reason),
    "UUID": _Rule(_uuid, _text_reason),
    "IPv4": _Rule(_ipv4, _text_reason),
    "IPv6": _Rule(_ipv6, _text_reason),
    "Date": _Rule(times.date, times.date_reason),
    "Date32": _Rule(times.date, times.date_reason),
    "DateTime": _Rule(times.moment, times.moment_reason),
    "DateTime64": _Rule(times.moment, times.moment_reason),
}


def _rule(kind: ColumnType) -> _Rule:
    return _RULES[kind.name]
