"""SQL for any value given as its JSON text: arrays and maps, and the scalars within them."""

from __future__ import annotations

from ingestion.ddl.names import text
from ingestion.ddl.scalar import Value, typed
from ingestion.ddl.types import ColumnType

CONTAINERS = frozenset({"Array", "Map"})


def fits(kind: ColumnType, raw: str, *, quoted: bool, depth: int = 0) -> str:
    """Whether the JSON text in ``raw`` fits ``kind`` in all of its elements; 0 or 1."""
    name = f"x{depth}"
    if kind.name == "Array":
        inner = fits(kind.inner, name, quoted=quoted, depth=depth + 1)
        return f"(startsWith({raw}, '[') AND arrayAll({name} -> {inner}, {_elements(raw)}))"
    if kind.name == "Map":
        inner = fits(kind.inner, f"{name}.2", quoted=quoted, depth=depth + 1)
        return f"(startsWith({raw}, '{{') AND arrayAll({name} -> {inner}, {_pairs(raw)}))"
    good = f"isNotNull({_scalar(kind, raw, quoted=quoted)})"
    return f"({good} OR {raw} = 'null')" if kind.is_nullable else good


def value(kind: ColumnType, raw: str, *, quoted: bool, depth: int = 0) -> str:
    """The value as ``kind``; where it does not fit, any value of that type."""
    name = f"x{depth}"
    if kind.name == "Array":
        inner = value(kind.inner, name, quoted=quoted, depth=depth + 1)
        return f"CAST(arrayMap({name} -> {inner}, {_elements(raw)}), {text(str(kind))})"
    if kind.name == "Map":
        inner = value(kind.inner, f"{name}.2", quoted=quoted, depth=depth + 1)
        pairs = f"arrayMap({name} -> ({name}.1, {inner}), {_pairs(raw)})"
        return f"CAST({pairs}, {text(str(kind))})"
    scalar = _scalar(kind, raw, quoted=quoted)
    return scalar if kind.is_nullable else f"assumeNotNull({scalar})"


def _elements(raw: str) -> str:
    return f"JSONExtractArrayRaw({raw})"


def _pairs(raw: str) -> str:
    return f"JSONExtractKeysAndValuesRaw({raw})"


def _scalar(kind: ColumnType, raw: str, *, quoted: bool) -> str:
    element = Value(
        dynamic=f"JSONExtract({raw}, 'Dynamic')",
        string=f"JSONExtractString({raw})",
        token=raw,
        quoted=quoted,
    )
    return typed(kind.bare, element)
