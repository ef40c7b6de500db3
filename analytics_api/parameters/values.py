r"""A caller's value, held against its type and written as ClickHouse reads ``param_<name>``.

ClickHouse reads a parameter as one field of TabSeparated: backslash, tab and line feed escaped,
``\N`` for NULL, arrays and maps with quoted elements
(clickhouse.com/docs/interfaces/http#cli-queries-with-parameters). What the engine would cut, wrap
or round in silence is refused here.
"""

from __future__ import annotations

import json
import math
import re
import uuid
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from ipaddress import IPv4Address, IPv6Address
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from analytics_api.parameters.types import ParameterType

#: Longest array or map, and longest text in characters, of one parameter.
MAX_ITEMS = 10_000
MAX_TEXT = 1_000_000

_ESCAPES = str.maketrans(
    {
        "\\": "\\\\",
        "\t": "\\t",
        "\n": "\\n",
        "\r": "\\r",
        "\0": "\\0",
        "\b": "\\b",
        "\f": "\\f",
        "'": "\\'",
    }
)
_INTEGER = re.compile(r"[+-]?[0-9]{1,78}\Z")
_DECIMAL = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?\Z")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}\Z")
_NEEDS_NO_QUOTES = re.compile(r"(?:U?Int\d+|Float\d\d|Decimal|Bool)\Z")


class Misfit(ValueError):
    """A value that is not of its type. Its text is what was expected."""


def encode(kind: ParameterType, value: Any) -> str:
    """``value`` as the text of ``param_<name>``; raises Misfit.

    ``value`` is what JSON has, or a string in which numbers, dates and the like are written out.
    """
    if value is None:
        return _null(kind, "\\N")
    if kind.base in ("Nullable", "LowCardinality"):
        return encode(kind.inner[0], value)
    if kind.base in ("Array", "Map"):
        return _nested(kind, value)
    return _scalar(kind, value).translate(_ESCAPES)


def _null(kind: ParameterType, text: str) -> str:
    if kind.base == "LowCardinality":
        return _null(kind.inner[0], text)
    if kind.base != "Nullable":
        raise Misfit(expected(kind))
    return text


def _nested(kind: ParameterType, value: Any) -> str:
    """``value`` as it stands within the brackets of an array or map, or as one of them."""
    if value is None:
        return _null(kind, "NULL")
    if kind.base in ("Nullable", "LowCardinality"):
        return _nested(kind.inner[0], value)
    if kind.base == "Array":
        items = [_nested(kind.inner[0], item) for item in _array(kind, value)]
        return f"[{','.join(items)}]"
    if kind.base == "Map":
        pairs = (
            f"{_nested(kind.inner[0], key)}:{_nested(kind.inner[1], item)}"
            for key, item in _map(kind, value).items()
        )
        return f"{{{','.join(pairs)}}}"
    text = _scalar(kind, value)
    return text if _NEEDS_NO_QUOTES.match(kind.base) else f"'{text.translate(_ESCAPES)}'"


def _array(kind: ParameterType, value: Any) -> list[Any]:
    if isinstance(value, str) and value.lstrip().startswith("["):
        value = _json(kind, value)
    if not isinstance(value, list):
        raise Misfit(expected(kind))
    if len(value) > MAX_ITEMS:
        msg = f"an array of at most {MAX_ITEMS:,} elements"
        raise Misfit(msg)
    return value


def _map(kind: ParameterType, value: Any) -> dict[str, Any]:
    if isinstance(value, str):
        value = _json(kind, value)
    if not isinstance(value, dict):
        raise Misfit(expected(kind))
    if len(value) > MAX_ITEMS:
        msg = f"a map of at most {MAX_ITEMS:,} entries"
        raise Misfit(msg)
    return value


def _json(kind: ParameterType, text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise Misfit(expected(kind)) from None


def _scalar(kind: ParameterType, value: Any) -> str:
    """A value without brackets, not yet escaped."""
    try:
        return _WRITERS[_family(kind.base)](kind, value)
    except (ValueError, OverflowError, InvalidOperation, TypeError):
        raise Misfit(expected(kind)) from None


def _family(base: str) -> str:
    return base.rstrip("0123456789") if base.startswith(("Int", "UInt", "Float", "Enum")) else base


def _integer(kind: ParameterType, value: Any) -> str:
    number = value if type(value) is int else int(_text(value, _INTEGER))
    least, most = _range(kind.base)
    if not least <= number <= most:
        raise ValueError
    return str(number)


def _range(base: str) -> tuple[int, int]:
    """Least and greatest number of an integer type."""
    bits = int(base.lstrip("UInt"))
    if base.startswith("U"):
        return 0, 2**bits - 1
    return -(2 ** (bits - 1)), 2 ** (bits - 1) - 1


def _text(value: Any, pattern: re.Pattern[str]) -> str:
    if not isinstance(value, str) or not pattern.match(value):
        raise ValueError
    return value


def _float(_: ParameterType, value: Any) -> str:
    number = float(value) if type(value) in (int, float) else float(_text(value, _DECIMAL))
    if not math.isfinite(number):
        raise ValueError
    return repr(number)


def _decimal(kind: ParameterType, value: Any) -> str:
    text = repr(value) if type(value) in (int, float) else value
    number = Decimal(_text(text, _DECIMAL))
    precision, scale = kind.numbers
    written = f"{number:f}"
    whole, _, fraction = written.lstrip("+-").partition(".")
    if len(fraction.rstrip("0")) > scale or len(whole.lstrip("0")) > precision - scale:
        raise ValueError
    return written


def _bool(_: ParameterType, value: Any) -> str:
    if type(value) is bool:
        return str(value).lower()
    return {"true": "true", "1": "true", "false": "false", "0": "false"}[_lower(value)]


def _lower(value: Any) -> str:
    if not isinstance(value, str) or value.lower() not in ("true", "false", "1", "0"):
        raise ValueError
    return value.lower()


def _string(_: ParameterType, value: Any) -> str:
    if not isinstance(value, str) or len(value) > MAX_TEXT:
        raise ValueError
    value.encode()  # a lone surrogate has no bytes
    return value


def _fixed_string(kind: ParameterType, value: Any) -> str:
    if len(_string(kind, value).encode()) > kind.numbers[0]:
        raise ValueError
    return str(value)


def _date(kind: ParameterType, value: Any) -> str:
    day = date.fromisoformat(_text(value, _DATE))
    first, last = _DATES[kind.base]
    if not first <= day <= last:
        raise ValueError
    return day.isoformat()


_DATES = {
    "Date": (date(1970, 1, 1), date(2149, 6, 6)),
    "Date32": (date(1900, 1, 1), date(2299, 12, 31)),
    "DateTime": (date(1970, 1, 1), date(2106, 2, 7)),
    "DateTime64": (date(1900, 1, 1), date(2299, 12, 31)),
}


def _moment(kind: ParameterType, value: Any) -> str:
    """A time with an offset or ``Z`` means that instant; without, the type's or server's zone."""
    if type(value) is int:
        moment = datetime.fromtimestamp(value, UTC)
    else:
        moment = datetime.fromisoformat(_string(kind, value).strip())
    first, last = _DATES[kind.base]
    if not first <= moment.date() <= last:
        raise ValueError
    fraction = f".{moment.microsecond:06d}" if kind.base == "DateTime64" else ""
    if moment.tzinfo is None:
        return f"{moment:%Y-%m-%d %H:%M:%S}{fraction}"
    return _instant(kind, moment, fraction)


def _instant(kind: ParameterType, moment: datetime, fraction: str) -> str:
    if kind.zone:
        return f"{moment.astimezone(_zone(kind.zone)):%Y-%m-%d %H:%M:%S}{fraction}"
    seconds = math.floor(moment.timestamp())
    if seconds < 0:  # ClickHouse reads no negative number as a time
        raise ValueError
    return f"{seconds:010d}{fraction}"


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        raise ValueError from None


def _uuid(_: ParameterType, value: Any) -> str:
    if not isinstance(value, str) or len(value) != 36:
        raise ValueError
    return str(uuid.UUID(value))


def _ipv4(_: ParameterType, value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return str(IPv4Address(value))


def _ipv6(_: ParameterType, value: Any) -> str:
    if not isinstance(value, str) or "%" in value:
        raise ValueError
    return str(IPv6Address(value))


def _enum(kind: ParameterType, value: Any) -> str:
    if not isinstance(value, str) or value not in {name for name, _ in kind.choices}:
        raise ValueError
    return value


_WRITERS: dict[str, Callable[[ParameterType, Any], str]] = {
    "Int": _integer,
    "UInt": _integer,
    "Float": _float,
    "Decimal": _decimal,
    "Bool": _bool,
    "String": _string,
    "FixedString": _fixed_string,
    "Date": _date,
    "Date32": _date,
    "DateTime": _moment,
    "DateTime64": _moment,
    "UUID": _uuid,
    "IPv4": _ipv4,
    "IPv6": _ipv6,
    "Enum": _enum,
}

_EXPECTED = {
    "Float": "a number",
    "Bool": "true or false",
    "String": "text",
    "Date": "a date from 1970-01-01 to 2149-06-06 as YYYY-MM-DD",
    "Date32": "a date from 1900-01-01 to 2299-12-31 as YYYY-MM-DD",
    "DateTime": "a time as YYYY-MM-DD hh:mm:ss, with Z or an offset for another zone",
    "DateTime64": "a time as YYYY-MM-DD hh:mm:ss.ffffff, with Z or an offset for another zone",
    "UUID": "a UUID as 8-4-4-4-12 hexadecimal digits",
    "IPv4": "an IPv4 address",
    "IPv6": "an IPv6 address",
}


def expected(kind: ParameterType) -> str:
    """What a value of this type looks like, in words that follow "expected"."""
    if kind.inner:
        return _expected_of_inner(kind)
    if "Int" in kind.base:
        return _expected_integer(kind.base)
    if kind.base == "Decimal":
        whole, scale = kind.numbers[0] - kind.numbers[1], kind.numbers[1]
        return f"a number with at most {whole} digits before and {scale} after the point"
    if kind.base == "FixedString":
        return f"text of at most {kind.numbers[0]} bytes"
    if kind.choices:
        names = [repr(name) for name, _ in kind.choices]
        return "one of " + ", ".join(names[:20]) + (" ..." if len(names) > 20 else "")
    return _EXPECTED[_family(kind.base)]


def _expected_of_inner(kind: ParameterType) -> str:
    inner = [expected(one) for one in kind.inner]
    if kind.base == "Map":
        return f"a map from {inner[0]} to {inner[1]}"
    if kind.base == "Array":
        return f"an array, each element {inner[0]}"
    return f"{inner[0]} or null" if kind.base == "Nullable" else inner[0]


def _expected_integer(base: str) -> str:
    least, most = _range(base)
    if most < 2**32:
        return f"a whole number from {least} to {most}"
    power = most.bit_length()
    return f"a whole number from {f'-2^{power}' if least else '0'} to 2^{power} - 1"


def sample(kind: ParameterType) -> str:
    """Some value of this type, encoded: for trying a statement when no real value is at hand."""
    if kind.base == "Nullable":
        return "\\N"
    if kind.base == "LowCardinality":
        return sample(kind.inner[0])
    if kind.choices:
        return kind.choices[0][0].translate(_ESCAPES)
    return _SAMPLES.get(_family(kind.base), "0")


_SAMPLES = {
    "Array": "[]",
    "Map": "{}",
    "Bool": "false",
    "String": "",
    "FixedString": "",
    "Date": "2000-01-01",
    "Date32": "2000-01-01",
    "DateTime": "2000-01-01 00:00:00",
    "DateTime64": "2000-01-01 00:00:00",
    "UUID": "00000000-0000-0000-0000-000000000000",
    "IPv4": "127.0.0.1",
    "IPv6": "::",
}
