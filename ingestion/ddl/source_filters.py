"""Filters of sources: which messages a table leaves out.

A filter is an expression over the table's columns (``expression``). A message is left out only if
the expression is false: null keeps it, and so does a column that the message does not fit. The
conditions that AND joins are judged one by one, so a message whose ``kind`` says no is left out
although other columns do not fit, and does not fill the quarantine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from ingestion.ddl import computed, expression
from ingestion.ddl.errors import SpecProblem
from ingestion.ddl.expression_tokens import ExpressionProblem
from ingestion.ddl.spec import ColumnSpec, SourceFilter
from ingestion.ddl.types import UnknownType

#: Whether a filter leaves a message out; 0 or 1.
FILTERED = "_filtered"
#: Types of an expression that says yes or no.
_CONDITIONS = ("UInt8", "Bool")


def left_out(
    columns: Sequence[ColumnSpec],
    filters: Sequence[SourceFilter],
    fits: Callable[[int], str] | None = None,
) -> str:
    """SQL over ``_source`` and ``_v<index>``: whether its source's filter leaves a message out.

    ``fits`` gives SQL for whether the message fits a column; None if it fits all of them.
    """
    cases = [f"_source = {one.source}, {_says_no(columns, one, fits)}" for one in filters]
    return f"multiIf({', '.join(cases)}, 0)"


def _says_no(
    columns: Sequence[ColumnSpec], one: SourceFilter, fits: Callable[[int], str] | None
) -> str:
    parts = expression.conjuncts(one.expression, _types(columns), _names(columns))
    return " OR ".join(_is_false(columns, condition, read, fits) for condition, read in parts)


def _is_false(
    columns: Sequence[ColumnSpec],
    condition: str,
    read: frozenset[str],
    fits: Callable[[int], str] | None,
) -> str:
    is_false = f"ifNull(NOT {condition}, 0)"
    if fits is None:
        return is_false
    known = [fits(index) for index, column in enumerate(columns) if column.name in read]
    return f"({' AND '.join([*known, is_false])})"


def _types(columns: Sequence[ColumnSpec]) -> Mapping[str, str]:
    return {one.name: one.type for one in columns if not one.expression}


def _names(columns: Sequence[ColumnSpec]) -> Callable[[str], str]:
    places = {one.name: f"_v{index}" for index, one in enumerate(columns)}
    return places.__getitem__


def problems(
    columns: Sequence[ColumnSpec], filters: Sequence[SourceFilter]
) -> Iterator[tuple[SourceFilter, str]]:
    """The filters that are wrong, and why, as far as their text shows."""
    for one in filters:
        try:
            parts = expression.conjuncts(one.expression, _types(columns), _names(columns))
        except ExpressionProblem as error:
            yield one, f"{error}{_computed(columns)}"
        except UnknownType:
            continue  # A column has a type that is none, which is said there.
        else:
            if not any(read for _, read in parts):
                yield one, "It reads no column, so it says the same of every message."


def _computed(columns: Sequence[ColumnSpec]) -> str:
    names = ", ".join(one.name for one in columns if one.expression)
    return f" It can't read computed columns: {names}." if names else ""


def type_query(columns: Sequence[ColumnSpec], one: SourceFilter) -> str:
    """A query for the type (``type``) of the filter's expression; raises ExpressionProblem."""
    return computed.type_query(columns, ColumnSpec("", "UInt8", expression=one.expression))


def not_condition(kind: str) -> str:
    """Why an expression of that type is no filter; empty if it is one."""
    bare = kind.removeprefix("LowCardinality(").removeprefix("Nullable(").rstrip(")")
    if bare in _CONDITIONS:
        return ""
    return f"It is {kind}, which is neither true nor false. Compare it, such as with = or >."


def problem(one: SourceFilter, message: str) -> SpecProblem:
    """The problem of a filter, with the source that has it."""
    source = f" of source {one.name}" if one.name else ""
    return SpecProblem(None, "filter", f"The filter{source}, {one.expression!r}: {message}")
