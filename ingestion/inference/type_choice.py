"""The types that values suggest, the closest first. A table's own typing says which one fits."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any

from ingestion.ddl.types import INTEGERS, UnknownType, parse
from ingestion.inference import text_formats
from ingestion.inference.sampled_fields import grouped, is_map, kind_of
from ingestion.inference.type_candidate import TypeCandidate
from tenants.warehouse.quoting import identifier

#: So many values are needed to say that few of them are distinct, and so many times the distinct.
_ENOUGH, _TIMES = 20, 5
_WIDTHS = ("Int64", "UInt64", "Int128", "UInt128", "Int256", "UInt256")
_TIME_NAME = re.compile(
    r"(?:(?:^|_|[a-z])(?:time|date|timestamp|epoch)|(?:^|_)(?:ts|at|when))(?:_?(?:s|ms|us|ns))?\Z"
)
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
#: From 2000 to 2100, in seconds: numbers beyond it are rarely times.
_FIRST, _LAST = 946_684_800, 4_102_444_800
#: By unit: its parts of a second, and the type that has all of them.
_UNITS = {
    "s": (1, "DateTime64(3, 'UTC')"),
    "ms": (1_000, "DateTime64(3, 'UTC')"),
    "us": (1_000_000, "DateTime64(6, 'UTC')"),
    "ns": (1_000_000_000, "DateTime64(9, 'UTC')"),
}


def candidates(name: str, values: Sequence[Any], *, unquoted: bool = False) -> list[TypeCandidate]:
    """The types for values of one field, none of which is null; empty if no type takes them all.

    ``name``: the field's key. ``unquoted``: the values are fields of CSV.
    """
    kinds = {kind_of(value) for value in values}
    if kinds == {"integer", "number"}:
        kinds = {"number"}
    if len(kinds) != 1:
        return _of_mixed()
    match kinds.pop():
        case "boolean":
            found = [TypeCandidate("Bool")]
        case "integer":
            found = [*_epochs(name, values), *_integers(values), TypeCandidate("Float64")]
        case "number":
            found = [TypeCandidate("Float64")]
        case "text":
            found = [*_of_texts(name, values, unquoted=unquoted), _text(values)]
        case "array":
            found = list(_arrays(name, [one for value in values for one in value]))
        case _:
            found = list(_objects(values))
    return found


def _of_mixed() -> list[TypeCandidate]:
    """The types for values of several kinds, such as numbers beside texts: no type has them."""
    return []


def _of_texts(name: str, texts: Sequence[str], *, unquoted: bool) -> Iterator[TypeCandidate]:
    if unquoted and all(map(text_formats.INTEGER.match, texts)):
        yield from _epochs(name, list(map(int, texts)))
    yield from text_formats.candidates(texts, unquoted=unquoted)


def _text(texts: Sequence[str]) -> TypeCandidate:
    is_few = len(texts) >= _ENOUGH and len(set(texts)) * _TIMES <= len(texts)
    return TypeCandidate("LowCardinality(String)" if is_few else "String")


def _epochs(name: str, values: Sequence[int]) -> Iterator[TypeCandidate]:
    if not _TIME_NAME.search(_CAMEL.sub("_", name).lower()):
        return
    for unit, (parts, kind) in _UNITS.items():
        if all(_FIRST * parts <= value < _LAST * parts for value in values):
            yield TypeCandidate(kind, unit)


def _integers(values: Sequence[int]) -> Iterator[TypeCandidate]:
    least, most = min(values), max(values)
    for name in _WIDTHS:
        low, high = INTEGERS[name]
        if low <= least and most <= high:
            yield TypeCandidate(name)
            return


def _arrays(name: str, elements: Sequence[Any]) -> Iterator[TypeCandidate]:
    for candidate in _of_elements(name, elements):
        yield candidate.within("Array(%s)")


def _objects(objects: Sequence[dict[str, Any]]) -> Iterator[TypeCandidate]:
    """A map if the keys are data, otherwise a tuple."""
    if not is_map(objects):
        yield from _tuples(objects)
        return
    for candidate in _of_elements("", [value for one in objects for value in one.values()]):
        yield candidate.within("Map(String, %s)")


def _of_elements(name: str, elements: Sequence[Any]) -> list[TypeCandidate]:
    """The types of elements, null or not. Without any element it is a text."""
    values = [value for value in elements if value is not None]
    if not values:
        return [TypeCandidate("Nullable(String)" if elements else "String")]
    found = candidates(name, values)
    if len(values) == len(elements):
        return found
    return [one.nullable() for one in found if not one.is_container]


def _tuples(objects: Sequence[dict[str, Any]]) -> Iterator[TypeCandidate]:
    """A tuple of the members' closest types; then one of their widest."""
    members = {key: _member(key, values, len(objects)) for key, values in grouped(objects).items()}
    able = {key: found for key, found in members.items() if found and _is_name(key)}
    if not able:
        return
    for place in (0, -1):
        inner = ", ".join(f"{identifier(key)} {found[place].type}" for key, found in able.items())
        yield TypeCandidate(str(parse(f"Tuple({inner})")))


def _member(key: str, values: Sequence[Any], objects: int) -> list[TypeCandidate]:
    """The types of a tuple's member, which has no format of its own. Empty: it is left out."""
    known = [value for value in values if value is not None]
    found = [one for one in candidates(key, known) if one.is_plain] if known else []
    if len(known) == objects:
        return found
    return [one.nullable() for one in found if not one.is_container]


def _is_name(key: str) -> bool:
    try:
        parse(f"Tuple({identifier(key)} String)")
    except (UnknownType, ValueError):
        return False
    return True


def is_number(value: Any) -> bool:
    return isinstance(value, int | Decimal | float) and not isinstance(value, bool)
