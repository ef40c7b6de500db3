"""Describes the values of a type, for error messages: the words after "expected"."""

from __future__ import annotations

from analytics_api.parameters.numbers import integer_range
from analytics_api.parameters.times import digits
from analytics_api.parameters.types import ParameterType

_EXPECTED = {
    "Float": "a number",
    "Bool": "true or false",
    "String": "text",
    "Date": "a date from 1970-01-01 to 2149-06-06 as YYYY-MM-DD",
    "Date32": "a date from 1900-01-01 to 2299-12-31 as YYYY-MM-DD",
    "UUID": "a UUID as 8-4-4-4-12 hexadecimal digits",
    "IPv4": "an IPv4 address",
    "IPv6": "an IPv6 address",
}


def family(base: str) -> str:
    """The name of an Int, UInt, Float or Enum type without its bits; any other name unchanged."""
    return base.rstrip("0123456789") if base.startswith(("Int", "UInt", "Float", "Enum")) else base


def expected(kind: ParameterType) -> str:
    if kind.inner:
        return _expected_of_inner(kind)
    if family(kind.base) in ("Int", "UInt"):
        return _expected_integer(kind.base)
    if kind.base == "Decimal":
        whole, scale = kind.numbers[0] - kind.numbers[1], kind.numbers[1]
        return f"a number with at most {whole} digits before and {scale} after the point"
    if kind.base in ("DateTime", "DateTime64"):
        return _expected_moment(kind)
    return _expected_choice(kind) if kind.choices else _expected_text(kind)


def _expected_text(kind: ParameterType) -> str:
    if kind.base == "FixedString":
        return f"text of exactly {kind.numbers[0]} bytes"
    return _EXPECTED[family(kind.base)]


def _expected_choice(kind: ParameterType) -> str:
    names = [repr(name) for name, _ in kind.choices]
    return "one of " + ", ".join(names[:20]) + (" ..." if len(names) > 20 else "")


def _expected_moment(kind: ParameterType) -> str:
    fraction = f".{'f' * digits(kind)}" if digits(kind) else ""
    zone = kind.zone or "UTC"
    return f"a time as YYYY-MM-DD hh:mm:ss{fraction}, with Z or an offset if it is not in {zone}"


def _expected_of_inner(kind: ParameterType) -> str:
    inner = [expected(inner_kind) for inner_kind in kind.inner]
    if kind.base == "Map":
        return f"a map from {inner[0]} to {inner[1]}"
    if kind.base == "Array":
        return f"an array, each element {inner[0]}"
    if kind.base == "Tuple":
        return f"an array of {len(inner)}: {'; '.join(inner)}"
    return f"{inner[0]} or null" if kind.base == "Nullable" else inner[0]


def _expected_integer(base: str) -> str:
    least, most = integer_range(base)
    if most < 2**32:
        return f"a whole number from {least} to {most}"
    power = most.bit_length()
    return f"a whole number from {f'-2^{power}' if least else '0'} to 2^{power} - 1"
