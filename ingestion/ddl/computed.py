"""Computed columns: an expression over the values of a table's other columns.

The message's own columns are typed first. A message that does not fit them is in quarantine, so an
expression only ever sees values that have landed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from ingestion.ddl import expression
from ingestion.ddl.expression_tokens import ExpressionProblem, columns_in
from ingestion.ddl.spec import ColumnSpec
from ingestion.ddl.types import UnknownType, parse
from tenants.warehouse.quoting import string


def outputs(columns: Iterable[ColumnSpec]) -> list[str]:
    """``_v<index>`` for each column; computed from the others if the column has an expression."""
    columns = list(columns)
    return [
        f"CAST({written(columns, one)}, {string(one.type)}) AS _v{index}"
        if one.expression
        else f"_v{index}"
        for index, one in enumerate(columns)
    ]


def written(columns: Sequence[ColumnSpec], column: ColumnSpec) -> str:
    """The column's expression over ``_v<index>``; raises ExpressionProblem."""
    places = {one.name: index for index, one in enumerate(columns)}
    return expression.sql(column.expression, _types(columns), lambda name: f"_v{places[name]}")


def _types(columns: Iterable[ColumnSpec]) -> Mapping[str, str]:
    """The types of the columns that an expression can read: those that are not computed."""
    return {one.name: one.type for one in columns if not one.expression}


def problems(columns: Sequence[ColumnSpec]) -> Iterator[tuple[str, str]]:
    """The names of columns whose expression is wrong, and why, as far as the text shows."""
    for one in columns:
        if one.expression and (message := _problem(columns, one)):
            yield one.name, message
    if columns and not _types(columns):
        yield columns[0].name, "Every column is computed. Add a column that reads the message."


def _problem(columns: Sequence[ColumnSpec], column: ColumnSpec) -> str:
    given = {
        "path": column.path,
        "metadata": column.metadata,
        "default": column.default is not None,
        "quoted numbers": column.quoted_numbers,
        "format": column.format,
    }
    if extra := [name for name, is_given in given.items() if is_given]:
        return f"A computed column reads no message. Remove its {' and '.join(extra)}."
    try:
        written(columns, column)
    except ExpressionProblem as error:
        return str(error)
    except UnknownType:
        return ""  # Another column has a type that is none, which is said there.
    return ""


def type_query(columns: Sequence[ColumnSpec], column: ColumnSpec) -> str:
    """A query for the type (``type``) of the column's expression; raises ExpressionProblem."""
    read = columns_in(column.expression)
    values = ", ".join(
        f"{_value(one.type)} AS _v{index}" for index, one in enumerate(columns) if one.name in read
    )
    sql = written(columns, column)
    # It is computed as well, so that a pattern that can't be compiled is refused here.
    return f"SELECT toTypeName({sql}) AS type, ignore({sql}) FROM (SELECT {values or '1'})"


def _value(kind: str) -> str:
    """A value of that type, never null: for null the engine skips what it would refuse."""
    plain = str(parse(kind).bare)
    return f"materialize(CAST(defaultValueOfTypeName({string(plain)}), {string(kind)}))"


def named(columns: Sequence[ColumnSpec], message: str) -> str:
    """What ClickHouse says of a ``type_query``, with the columns' own names."""

    def name(match: re.Match[str]) -> str:
        index = int(match[1])
        return columns[index].name if index < len(columns) else match[0]

    return re.sub(r"\b_v(\d{1,4})\b", name, message)
