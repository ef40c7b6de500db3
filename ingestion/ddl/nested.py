"""SQL that types a value from its JSON text: arrays and maps, and the scalars in them.

``is_marked`` is the name of a column that is 1 if that text is marked JSON (see ``marked``). Never
use the message itself in a lambda: the engine would copy it for each element.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ingestion.ddl import marked
from ingestion.ddl.scalar import typed
from ingestion.ddl.types import CONTAINERS, FLOATS, INTEGERS, ColumnType
from ingestion.ddl.value import NEVER, of_element
from tenants.warehouse.quoting import string

#: Types for which the exact digits of a number matter.
EXACT = frozenset({*INTEGERS, "Decimal", "DateTime", "DateTime64"})
NUMBERS = frozenset({*INTEGERS, *FLOATS, "Decimal"})


@dataclass(frozen=True, slots=True)
class Notation:
    """How values are written. ``quoted``: a number may be in quotes; ``form``: their format.

    ``is_marked``: as above, or NEVER.
    """

    is_marked: str
    quoted: bool
    form: str


def must_mark(kind: ColumnType, raw: str) -> str:
    """Whether the elements of a message must be read from marked JSON; 0 or 1."""
    checks = dict.fromkeys(_must_mark(one, raw) for one in _scalars(kind))
    return f"({' OR '.join(checks)})" if len(checks) > 1 else next(iter(checks))


def _scalars(kind: ColumnType) -> Iterator[ColumnType]:
    """The types of all scalars within a type."""
    if kind.name == "Tuple":
        for _, inner in kind.members:
            yield from _scalars(inner)
    elif kind.name in CONTAINERS:
        yield from _scalars(kind.inner)
    else:
        yield kind.bare


def _must_mark(scalar: ColumnType, raw: str) -> str:
    if scalar.name in FLOATS:
        return marked.may_be_odd_float(raw)
    return marked.may_be_changed(raw) if scalar.name in EXACT else marked.may_be_big(raw)


def fits(kind: ColumnType, raw: str, notation: Notation, depth: int = 0) -> str:
    """Whether the JSON text ``raw`` and all its elements fit ``kind``; 0 or 1."""
    name, below = f"x{depth}", depth + 1
    if kind.name == "Array":
        inner = fits(kind.inner, name, notation, below)
        return f"(startsWith({raw}, '[') AND arrayAll({name} -> {inner}, {_elements(raw)}))"
    if kind.name == "Map":
        inner = fits(kind.inner, f"{name}.2", notation, below)
        return f"(startsWith({raw}, '{{') AND arrayAll({name} -> {inner}, {_pairs(raw)}))"
    if kind.name == "Tuple":
        inner = " AND ".join(_members(kind, raw, notation, depth, _fits_member))
        return f"(startsWith({raw}, '{{') AND {inner})"
    good = f"isNotNull({_scalar(kind, raw, notation)})"
    return f"({good} OR {raw} IN ('null'))" if kind.is_nullable else good


def _fits_member(kind: ColumnType, raw: str, notation: Notation, depth: int) -> str:
    """The same for a member of a tuple, which may be missing if it may be null."""
    good = fits(kind, raw, notation, depth)
    return f"({raw} = '' OR {good})" if kind.is_nullable else good


def value(kind: ColumnType, raw: str, notation: Notation, depth: int = 0) -> str:
    """The value as ``kind``; where it does not fit, any value of that type."""
    name, below = f"x{depth}", depth + 1
    if kind.name == "Array":
        inner = value(kind.inner, name, notation, below)
        return f"CAST(arrayMap({name} -> {inner}, {_elements(raw)}), {string(str(kind))})"
    if kind.name == "Map":
        inner = value(kind.inner, f"{name}.2", notation, below)
        key = f"{name}.1"
        if notation.is_marked != NEVER:
            key = f"assumeNotNull(if({notation.is_marked}, {marked.text_of(key)}, {key}))"
        pairs = f"arrayMap({name} -> ({key}, {inner}), {_pairs(raw)})"
        return f"CAST({pairs}, {string(str(kind))})"
    if kind.name == "Tuple":
        members = ", ".join(_members(kind, raw, notation, depth, value))
        return f"CAST(tuple({members}), {string(str(kind))})"
    scalar = _scalar(kind, raw, notation)
    return scalar if kind.is_nullable else f"assumeNotNull({scalar})"


def _members(
    kind: ColumnType, raw: str, notation: Notation, depth: int, rule: Callable[..., str]
) -> Iterator[str]:
    """The rule of each member of a tuple, for its JSON text: empty if the object lacks it."""
    for name, inner in kind.members:
        key = string(name)
        if notation.is_marked != NEVER:
            key = f"if({notation.is_marked}, {string(name + marked.MARK)}, {key})"
        made = rule(inner, f"x{depth}", notation, depth + 1)
        yield f"arrayMap(x{depth} -> {made}, [JSONExtractRaw({raw}, {key})])[1]"


def _elements(raw: str) -> str:
    return f"JSONExtractArrayRaw({raw})"


def _pairs(raw: str) -> str:
    return f"JSONExtractKeysAndValuesRaw({raw})"


def _scalar(kind: ColumnType, raw: str, notation: Notation) -> str:
    found = of_element(raw, notation.is_marked, quoted=notation.quoted)
    return typed(kind.bare, found, notation.form)
