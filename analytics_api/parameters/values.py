r"""Checks a caller's value against its type and writes it as ClickHouse reads ``param_<name>``.

ClickHouse reads a parameter as one field of TabSeparated: backslash, tab and line feed are escaped,
``\N`` is NULL, and the elements of arrays and maps are quoted
(clickhouse.com/docs/interfaces/http#cli-queries-with-parameters). Values that ClickHouse would
silently cut, wrap or round are refused.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Mapping
from ipaddress import IPv4Address, IPv6Address
from typing import Any

from analytics_api.parameters import numbers, times
from analytics_api.parameters.errors import Misfit, Unfit
from analytics_api.parameters.expected import expected, family
from analytics_api.parameters.types import COMPOSITES, ParameterType
from tenants import exact_json
from tenants.warehouse.quoting import tab_separated

#: The most items of an array or map, and the most characters of a text, in one parameter.
MAX_ITEMS = 10_000
MAX_TEXT = 1_000_000

_UUID = re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}\Z")
_NEEDS_NO_QUOTES = re.compile(r"(?:U?Int\d+|Float\d\d|Decimal|Bool)\Z")


def encode(kind: ParameterType, value: Any) -> str:
    """``value`` as the text of ``param_<name>``; raises Misfit.

    ``value`` is a JSON value, or its text as in a query string. The rules are those of columns
    (docs/reference/column-types.md); in addition, numbers may be in quotes.
    """
    if value is None:
        return _null(kind, "\\N")
    if kind.base in ("Nullable", "LowCardinality"):
        return encode(kind.inner[0], value)
    if kind.base in COMPOSITES:
        return _nested(kind, value)
    return tab_separated(_scalar(kind, value))


def _null(kind: ParameterType, text: str) -> str:
    if not kind.is_nullable:
        raise Misfit(expected(kind))
    return text


def _nested(kind: ParameterType, value: Any) -> str:
    """``value`` as an element of an array, map or tuple, or as one of these itself."""
    if value is None:
        return _null(kind, "NULL")
    if kind.base in ("Nullable", "LowCardinality"):
        return _nested(kind.inner[0], value)
    if kind.base in COMPOSITES:
        return _COMPOSERS[kind.base](kind, value)
    text = _scalar(kind, value)
    return text if _NEEDS_NO_QUOTES.match(kind.base) else f"'{tab_separated(text)}'"


def _array(kind: ParameterType, value: Any) -> str:
    items = [_nested(kind.inner[0], item) for item in _items(kind, value)]
    return f"[{','.join(items)}]"


def _tuple(kind: ParameterType, value: Any) -> str:
    """A tuple from an array or, if its elements have names, from an object with all the names."""
    value = _parsed(kind, value)
    if kind.names and isinstance(value, dict):
        if value.keys() != set(kind.names):
            raise Misfit(expected(kind), f"its members must be {', '.join(kind.names)}")
        value = [value[name] for name in kind.names]
    if not isinstance(value, list) or len(value) != len(kind.inner):
        raise Misfit(expected(kind))
    items = [_nested(inner, item) for inner, item in zip(kind.inner, value, strict=True)]
    return f"({','.join(items)})"


def _map(kind: ParameterType, value: Any) -> str:
    value = _parsed(kind, value)
    if not isinstance(value, Mapping):
        raise Misfit(expected(kind))
    if len(value) > MAX_ITEMS:
        msg = f"a map of at most {MAX_ITEMS:,} entries"
        raise Misfit(msg)
    pairs = (
        f"{_nested(kind.inner[0], key)}:{_nested(kind.inner[1], item)}"
        for key, item in value.items()
    )
    return f"{{{','.join(pairs)}}}"


_COMPOSERS: dict[str, Callable[[ParameterType, Any], str]] = {
    "Array": _array,
    "Map": _map,
    "Tuple": _tuple,
}


def _items(kind: ParameterType, value: Any) -> list[Any]:
    value = _parsed(kind, value)
    if not isinstance(value, list):
        raise Misfit(expected(kind))
    if len(value) > MAX_ITEMS:
        msg = f"an array of at most {MAX_ITEMS:,} elements"
        raise Misfit(msg)
    return value


def _parsed(kind: ParameterType, value: Any) -> Any:
    """``value``, parsed if it is the text of a JSON value."""
    if not isinstance(value, str):
        return value
    try:
        return exact_json.read(value)
    except ValueError as error:
        raise Misfit(expected(kind), f"it is not JSON: {error}") from None


def _scalar(kind: ParameterType, value: Any) -> str:
    """A value that is not composite, not yet escaped."""
    try:
        return _WRITERS[family(kind.base)](kind, value)
    except Unfit as unfit:
        raise Misfit(expected(kind), str(unfit)) from None
    except (ValueError, TypeError):
        raise Misfit(expected(kind)) from None


def _bool(_: ParameterType, value: Any) -> str:
    if type(value) is bool:
        return str(value).lower()
    if value not in ("true", "false"):
        raise Unfit
    return str(value)


def _string(_: ParameterType, value: Any) -> str:
    if not isinstance(value, str):
        raise Unfit
    if len(value) > MAX_TEXT:
        raise Unfit(f"it has {len(value):,} characters, but at most {MAX_TEXT:,} are allowed")
    value.encode()  # raises for a lone surrogate, which UTF-8 can't encode
    return value


def _fixed_string(kind: ParameterType, value: Any) -> str:
    size = len(_string(kind, value).encode())
    if size != kind.numbers[0]:
        raise Unfit(f"it has {size} bytes")
    return str(value)


def _uuid(_: ParameterType, value: Any) -> str:
    if not isinstance(value, str) or not _UUID.match(value):
        raise Unfit
    return str(uuid.UUID(value))


def _ipv4(_: ParameterType, value: Any) -> str:
    if not isinstance(value, str):
        raise Unfit
    return str(IPv4Address(value))


def _ipv6(_: ParameterType, value: Any) -> str:
    if not isinstance(value, str) or "%" in value:
        raise Unfit
    return str(IPv6Address(value))


def _enum(kind: ParameterType, value: Any) -> str:
    if not isinstance(value, str) or value not in {name for name, _ in kind.choices}:
        raise Unfit
    return value


_WRITERS: dict[str, Callable[[ParameterType, Any], str]] = {
    "Int": numbers.integer,
    "UInt": numbers.integer,
    "Float": numbers.floating,
    "Decimal": numbers.decimal,
    "Bool": _bool,
    "String": _string,
    "FixedString": _fixed_string,
    "Date": times.day,
    "Date32": times.day,
    "DateTime": times.moment,
    "DateTime64": times.moment,
    "UUID": _uuid,
    "IPv4": _ipv4,
    "IPv6": _ipv6,
    "Enum": _enum,
    "Identifier": _enum,
}


def sample(kind: ParameterType) -> str:
    """A made-up value of this type, encoded, for trying a statement without a given value."""
    return encode(kind, sample_value(kind))


def sample_value(kind: ParameterType) -> Any:
    """A made-up value of this type as JSON has it."""
    if kind.is_nullable:
        return None
    if kind.base == "LowCardinality":
        return sample_value(kind.inner[0])
    if kind.base == "Tuple":
        return [sample_value(inner) for inner in kind.inner]
    return kind.choices[0][0] if kind.choices else _plain_sample(kind)


def _plain_sample(kind: ParameterType) -> Any:
    if kind.base == "Decimal":
        return int(kind.numbers[0] > kind.numbers[1])
    if kind.base == "FixedString":
        return "-" * kind.numbers[0]
    return _SAMPLES[family(kind.base)]


#: Numbers are not 0, since a query may divide by them.
_SAMPLES: dict[str, Any] = {
    "Array": [],
    "Map": {},
    "Int": 1,
    "UInt": 1,
    "Float": 0.5,
    "Bool": False,
    "String": "",
    "Date": "2000-01-01",
    "Date32": "2000-01-01",
    "DateTime": "2000-01-01 00:00:00",
    "DateTime64": "2000-01-01 00:00:00",
    "UUID": "00000000-0000-0000-0000-000000000000",
    "IPv4": "127.0.0.1",
    "IPv6": "::",
}
