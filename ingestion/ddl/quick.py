"""SQL that types a value in its usual form, and is NULL for any other form.

Its values are the same as those of ``scalar``. Where it is NULL, ``scalar`` types the value
afterwards, or explains why it does not fit. So this SQL needs no rules for misfits, and is cheap.
"""

from __future__ import annotations

from collections.abc import Callable

from ingestion.ddl import scalar, times, value_formats
from ingestion.ddl.types import FLOATS, INTEGERS, ColumnType
from ingestion.ddl.value import INEXACT, Value
from tenants.warehouse.quoting import string

#: Integers with more digits may be beyond 64 bits.
_DIGITS_OF_INT64 = 18
_BEYOND_INT64 = frozenset({"UInt64", "UInt128", "UInt256", "Int128", "Int256"})
_MAX_FLOAT32 = "3.4028234663852886e38"
#: Types whose texts never look like an integer.
_NEVER_DIGITS = frozenset({"Date", "Date32", "DateTime", "DateTime64", "IPv4", "IPv6"})
_BIG = string("^-?[0-9]{19}")
_INTEGER = string(f"^(0|-?[1-9][0-9]{{0,{_DIGITS_OF_INT64 - 1}}})$")
_FLOAT = string(r"^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?$")


def of_dynamic(kind: ColumnType, dynamic: str, form: str) -> Value:
    """A value as the parser read it; a text that may be the digits of a big integer is NULL."""
    found = f"dynamicElement({dynamic}, 'String')"
    known = f"if(length({found}) >= 20 AND match({found}, {_BIG}), NULL, {found})"
    if kind.name in _NEVER_DIGITS and not form:
        known = found
    return Value(dynamic, text=known, held="NULL", digits="NULL", scale="NULL", is_exact="1")


def typed(kind: ColumnType, value: Value, *, quoted: bool, form: str) -> str:
    """The value as Nullable(``kind``). ``quoted``: a number may be in quotes."""
    if form:
        return value_formats.usual(kind, value, form)
    rule = _RULES.get(kind.name)
    return rule(kind, value, quoted) if rule else scalar.typed(kind, value)


def _cast(expression: str, kind: ColumnType) -> str:
    return f"accurateCastOrNull({expression}, {string(str(kind))})"


def _integer(kind: ColumnType, value: Value, quoted: bool) -> str:
    ways = [_cast(value.int64, kind)]
    if kind.name in _BEYOND_INT64:
        ways.append(_cast(value.uint64, kind))
    if quoted:
        ways.append(_cast(f"toInt64OrNull({_in_quotes(value, _INTEGER)})", kind))
    return _first(ways)


def _floating(kind: ColumnType, value: Value, quoted: bool) -> str:
    ways = [value.float64, f"toFloat64({value.int64})"]
    if quoted:
        ways.append(f"toFloat64OrNull({_in_quotes(value, _FLOAT)})")
    wide = _first(ways)
    if kind.name == "Float32":
        return f"if(abs({wide}) <= {_MAX_FLOAT32}, toFloat32({wide}), NULL)"
    return f"if(isFinite({wide}), {wide}, NULL)"


def _decimal(kind: ColumnType, value: Value, quoted: bool) -> str:
    places = int(str(kind.args[1]))
    before = int(str(kind.args[0])) - places
    whole = f"abs({value.int64}) < {10**before}" if before < _DIGITS_OF_INT64 else "1"
    fraction = rf"(\.[0-9]{{1,{places}}})?" if places else ""
    form = string(rf"^-?[0-9]{{1,{before}}}{fraction}$") if before else string("^$")
    written = f"toString({value.float64})"
    ways = [
        f"if({whole}, {_cast(value.int64, kind)}, NULL)",
        f"if(NOT {INEXACT} AND match({written}, {form}), {_cast(written, kind)}, NULL)",
    ]
    if quoted:
        ways.append(
            f"if(match({value.text}, {form}), {_cast(_in_quotes(value, _FLOAT), kind)}, NULL)"
        )
    return _first(ways)


def _moment(kind: ColumnType, value: Value, quoted: bool) -> str:
    return times.usual(kind, value)


def _in_quotes(value: Value, form: str) -> str:
    return f"if(match({value.text}, {form}), {value.text}, NULL)"


def _first(ways: list[str]) -> str:
    return f"coalesce({', '.join(ways)})" if len(ways) > 1 else ways[0]


_RULES: dict[str, Callable[[ColumnType, Value, bool], str]] = {
    **dict.fromkeys(INTEGERS, _integer),
    **dict.fromkeys(FLOATS, _floating),
    "Decimal": _decimal,
    "DateTime": _moment,
    "DateTime64": _moment,
}
