"""SQL that types a value from its JSON text: arrays and maps, and the scalars in them.

``is_marked`` is the name of a column that is 1 if that text is marked JSON (see ``marked``). Never
use the message itself in a lambda: the engine would copy it for each element.
"""

from __future__ import annotations

from ingestion.ddl import marked
from ingestion.ddl.scalar import typed
from ingestion.ddl.types import FLOATS, INTEGERS, ColumnType
from ingestion.ddl.value import NEVER, of_element
from tenants.warehouse.quoting import string

CONTAINERS = frozenset({"Array", "Map"})
#: Types for which the exact digits of a number matter.
EXACT = frozenset({*INTEGERS, "Decimal", "DateTime", "DateTime64"})
NUMBERS = frozenset({*INTEGERS, *FLOATS, "Decimal"})


def must_mark(kind: ColumnType, raw: str) -> str:
    """Whether the elements of a message must be read from marked JSON; 0 or 1."""
    while kind.name in CONTAINERS:
        kind = kind.inner
    if kind.bare.name in FLOATS:
        return marked.may_be_odd_float(raw)
    return marked.may_be_changed(raw) if kind.bare.name in EXACT else marked.may_be_big(raw)


def fits(
    kind: ColumnType, raw: str, is_marked: str, *, quoted: bool, form: str, depth: int = 0
) -> str:
    """Whether the JSON text ``raw`` and all its elements fit ``kind``; 0 or 1."""
    name = f"x{depth}"
    if kind.name == "Array":
        inner = fits(kind.inner, name, is_marked, quoted=quoted, form=form, depth=depth + 1)
        return f"(startsWith({raw}, '[') AND arrayAll({name} -> {inner}, {_elements(raw)}))"
    if kind.name == "Map":
        inner = fits(kind.inner, f"{name}.2", is_marked, quoted=quoted, form=form, depth=depth + 1)
        return f"(startsWith({raw}, '{{') AND arrayAll({name} -> {inner}, {_pairs(raw)}))"
    good = f"isNotNull({_scalar(kind, raw, is_marked, quoted=quoted, form=form)})"
    return f"({good} OR {raw} IN ('null'))" if kind.is_nullable else good


def value(
    kind: ColumnType, raw: str, is_marked: str, *, quoted: bool, form: str, depth: int = 0
) -> str:
    """The value as ``kind``; where it does not fit, any value of that type."""
    name = f"x{depth}"
    if kind.name == "Array":
        inner = value(kind.inner, name, is_marked, quoted=quoted, form=form, depth=depth + 1)
        return f"CAST(arrayMap({name} -> {inner}, {_elements(raw)}), {string(str(kind))})"
    if kind.name == "Map":
        inner = value(kind.inner, f"{name}.2", is_marked, quoted=quoted, form=form, depth=depth + 1)
        key = f"{name}.1"
        if is_marked != NEVER:
            key = f"assumeNotNull(if({is_marked}, {marked.text_of(key)}, {key}))"
        pairs = f"arrayMap({name} -> ({key}, {inner}), {_pairs(raw)})"
        return f"CAST({pairs}, {string(str(kind))})"
    scalar = _scalar(kind, raw, is_marked, quoted=quoted, form=form)
    return scalar if kind.is_nullable else f"assumeNotNull({scalar})"


def _elements(raw: str) -> str:
    return f"JSONExtractArrayRaw({raw})"


def _pairs(raw: str) -> str:
    return f"JSONExtractKeysAndValuesRaw({raw})"


def _scalar(kind: ColumnType, raw: str, is_marked: str, *, quoted: bool, form: str) -> str:
    return typed(kind.bare, of_element(raw, is_marked, quoted=quoted), form)
