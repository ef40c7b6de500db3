"""What a result format can't hold.

Such a result is refused with 406; it is never written without the missing part. The query's text
and columns are checked before ClickHouse runs it, because ClickHouse does not refuse all of them:
totals go missing or look like a row, Arrow gets the address of an aggregate function's state
instead of the state, and writing a Geometry as Parquet never ends (seen with 26.9).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from analytics_api.api.result_formats import FORMATS, ResultFormat
from tenants.rest.problem import Problem
from tenants.warehouse.errors import StatementFailed

_STRING = r"'(?:[^'\\]|\\.|'')*'"
_QUOTED = re.compile(rf"{_STRING}|`(?:[^`\\]|\\.)*`|\"(?:[^\"\\]|\\.)*\"", re.DOTALL)
_COMMENT = re.compile(r"--[^\n]*|/\*.*?\*/", re.DOTALL)
_WORD = re.compile(r"\w+|\S")
#: A type's name. Names of a tuple's elements and of an enum's values don't match.
#: A long word is read once, and not again from each of its letters.
_TYPE = re.compile(r"(?<!\w)[^\WA-Za-z]*+([A-Za-z]\w*+)(?=\s*(?:[(),]|\Z))")
#: After these words WITH begins a query, so TOTALS is a name there.
_BEGINS = frozenset({"(", "UNION", "EXCEPT", "INTERSECT", "DISTINCT", "ALL"})

#: ClickHouse's codes for a column that a format has no type for.
_NO_TYPE = frozenset({36, 49, 50})
_COLUMN = re.compile(r"of column '((?:[^'\\]|\\.)*)'")


def check(form: ResultFormat, sql: str, columns: Sequence[Mapping[str, str]]) -> None:
    """Raise Problem if ``form`` can't hold the query's result."""
    if not form.holds_totals and has_totals(sql):
        raise _totals(form)
    if form.lacks:
        for column in columns:
            if form.lacks & type_names(column["type"]):
                raise _column(form, column["name"], f"its type is {column['type']}")


def refused(error: Exception, form: ResultFormat) -> Problem | None:
    """The problem to report if the format caused ``error``; None for any other error."""
    if not isinstance(error, StatementFailed) or form.is_text or error.code not in _NO_TYPE:
        return None
    column = _COLUMN.search(error.message)
    if column is None and "Arrow schema" not in error.message and form.clickhouse not in (
        error.message
    ):  # fmt: skip
        return None
    return _column(form, column[1] if column else None, "the format has no such type")


def not_text(form: ResultFormat, column: str | None) -> Problem:
    """The problem for a result with bytes that are not UTF-8, in ``column`` if it is known."""
    problem = _column(form, column, "it has bytes that are not UTF-8")
    problem.text += " Or select hex() or base64Encode() of the column."
    return problem


@lru_cache(maxsize=1_000)
def has_totals(sql: str) -> bool:
    """Whether any GROUP BY in ``sql`` has WITH TOTALS: a query around it passes the totals on."""
    plain = _COMMENT.sub(" ", _QUOTED.sub(" x ", sql))
    words = ["(", *(word.upper() for word in _WORD.findall(plain))]
    return any(
        words[at : at + 2] == ["WITH", "TOTALS"]
        and (words[at - 1] not in _BEGINS or words[at - 2 : at] == ["BY", "ALL"])
        for at in range(1, len(words))
    )


@lru_cache(maxsize=1_000)
def type_names(text: str) -> frozenset[str]:
    """The names of a type and of the types inside it. Every interval type is ``Interval``."""
    names = _TYPE.findall(re.sub(_STRING, " ", text))
    if "Tuple()" in text:
        names.append("Tuple()")
    return frozenset("Interval" if name.startswith("Interval") else name for name in names)


def _totals(form: ResultFormat) -> Problem:
    return _problem(
        f"{form.name} can't hold totals, and the query has GROUP BY … WITH TOTALS.",
        [other.name for other in FORMATS if other.holds_totals],
    )


def _column(form: ResultFormat, column: str | None, why: str) -> Problem:
    named = "a column of the result" if column is None else f"the column {column!r}"
    others = [other.name for other in FORMATS if other.is_text != form.is_text]
    return _problem(f"{form.name} can't hold {named}: {why}.", others, column)


def _problem(what: str, others: list[str], column: str | None = None) -> Problem:
    members: dict[str, Any] = {} if column is None else {"column": column}
    detail = f"{what} Use one of these formats: {', '.join(others)}."
    return Problem(406, "format_unfit", detail, formats=others, **members)
