"""Checks and writes a caller's numbers by the rules of columns, without losing digits."""

from __future__ import annotations

import math
import re
from decimal import Decimal
from typing import Any

from analytics_api.parameters.errors import Unfit
from analytics_api.parameters.types import ParameterType

_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]*)\Z")
#: JSON's form of a number (RFC 8259), also required in a query string and in quotes.
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,6})?\Z")
#: The longest number that is read, in characters.
_MAX_LENGTH = 1_000
#: No type but the floats holds a number with more digits before the point.
_MAX_WHOLE = 80
_MAX_FLOAT32 = 3.4028234663852886e38
_OUT_OF_RANGE = "it is out of range"


def is_number(value: Any) -> bool:
    """Whether ``value`` is a number, or text in the form of one."""
    if isinstance(value, str):
        return len(value) <= _MAX_LENGTH and _NUMBER.match(value) is not None
    return type(value) in (int, float, Decimal)


def read(value: Any) -> Decimal:
    """``value`` as a number with all its digits; raises Unfit if it is not a number."""
    if not is_number(value):
        raise Unfit
    if isinstance(value, str):
        # As in JSON, -0 is the integer 0, and -0.0 a float with a sign.
        return Decimal(int(value)) if _INTEGER.match(value) else Decimal(value)
    number = Decimal(repr(value)) if type(value) is float else Decimal(value)
    if not number.is_finite():
        raise Unfit
    return number


def _parts(number: Decimal) -> tuple[str, int]:
    """The digits without zeros at either end, and the power of ten to multiply them by."""
    _, digits, exponent = number.as_tuple()
    text = "".join(map(str, digits)).lstrip("0")
    bare = text.rstrip("0")
    return bare, int(exponent) + len(text) - len(bare)


def places(number: Decimal) -> int:
    """How many digits the number has after the point, without trailing zeros."""
    digits, exponent = _parts(number)
    return max(-exponent, 0) if digits else 0


def whole(number: Decimal) -> int:
    """The number as an integer. Raises Unfit for a fraction or a number too large for any type."""
    if places(number):
        raise Unfit("it has a fraction")
    if number and number.adjusted() > _MAX_WHOLE:
        raise Unfit(_OUT_OF_RANGE)
    return int(number) if number else 0


def integer_range(base: str) -> tuple[int, int]:
    """The least and the greatest number of an integer type."""
    bits = int(base.lstrip("UInt"))
    if base.startswith("U"):
        return 0, 2**bits - 1
    return -(2 ** (bits - 1)), 2 ** (bits - 1) - 1


def integer(kind: ParameterType, value: Any) -> str:
    number = whole(read(value))
    least, most = integer_range(kind.base)
    if not least <= number <= most:
        raise Unfit(_OUT_OF_RANGE)
    return str(number)


def decimal(kind: ParameterType, value: Any) -> str:
    number = read(value)
    precision, scale = kind.numbers
    digits, exponent = _parts(number)
    if not digits:
        return "0"
    if -exponent > scale:
        raise Unfit(f"it has {-exponent} digits after the point, but only {scale} fit")
    if len(digits) + exponent > precision - scale:
        raise Unfit(_OUT_OF_RANGE)
    sign = "-" if number < 0 else ""
    text = (digits + "0" * max(exponent, 0)).rjust(1 - exponent, "0")
    return f"{sign}{text[:exponent]}.{text[exponent:]}" if exponent < 0 else f"{sign}{text}"


def floating(kind: ParameterType, value: Any) -> str:
    """The nearest Float64, also for a Float32, as for a column."""
    number = float(read(value))
    most = _MAX_FLOAT32 if kind.base == "Float32" else math.inf
    if not math.isfinite(number) or abs(number) > most:
        raise Unfit(_OUT_OF_RANGE)
    return repr(number)
