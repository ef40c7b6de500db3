"""What a format can't hold: a result that has it is refused (406), and never written without it.

What is known of the query and its columns is looked at before ClickHouse is asked, since some of it
ClickHouse writes all the same: totals go missing or look like a row, Arrow gets the address of an
aggregate function's state instead of the state, Parquet never ends at a Geometry (seen with 26.9).
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
#: A type's name; those of a tuple's elements and of an enum's values are none.
_TYPE = re.compile(r"[A-Za-z]\w*(?=\s*(?:[(),]|\Z))")
#: Behind these a WITH begins a query, and TOTALS is a name.
_BEGINS = frozenset({"(", "UNION", "EXCEPT", "INTERSECT", "DISTINCT", "ALL"})

#: ClickHouse's codes for a column that a format has no type for.
_NO_TYPE = frozenset({36, 49, 50})
_COLUMN = re.compile(r"of column '((?:[^'\\]|\\.)*)'")


def check(form: ResultFormat, sql: str, columns: Sequence[Mapping[str, str]]) -> None:
    """Raise Problem where ``form`` can't hold what the query answers with."""
    if not form.holds_totals and has_totals(sql):
        raise _totals(form)
    if form.lacks:
        for one in columns:
            if form.lacks & type_names(one["type"]):
                raise _column(form, one["name"], f"which is {one['type']}")


def refused(error: Exception, form: ResultFormat) -> Problem | None:
    """The problem that a failure is where it comes of the format; None where it does not."""
    if not isinstance(error, StatementFailed) or form.is_text or error.code not in _NO_TYPE:
        return None
    found = _COLUMN.search(error.message)
    if found is None and "Arrow schema" not in error.message and form.clickhouse not in (
        error.message
    ):  # fmt: skip
        return None
    return _column(form, found[1] if found else None, "whose type it has not")


def not_text(form: ResultFormat, column: str | None) -> Problem:
    """The problem that bytes are which are not UTF-8."""
    problem = _column(form, column, "which has bytes that are not UTF-8")
    problem.text += " Or select hex() or base64Encode() of it."
    return problem


@lru_cache(maxsize=1_000)
def has_totals(sql: str) -> bool:
    """Whether a GROUP BY of it is WITH TOTALS, which what stands around it hands on."""
    plain = _COMMENT.sub(" ", _QUOTED.sub(" x ", sql))
    words = ["(", *(word.upper() for word in _WORD.findall(plain))]
    return any(
        words[at : at + 2] == ["WITH", "TOTALS"]
        and (words[at - 1] not in _BEGINS or words[at - 2 : at] == ["BY", "ALL"])
        for at in range(1, len(words))
    )


@lru_cache(maxsize=1_000)
def type_names(text: str) -> frozenset[str]:
    """The names of a type and of those in it. All intervals are ``Interval``."""
    names = _TYPE.findall(re.sub(_STRING, " ", text))
    if "Tuple()" in text:
        names.append("Tuple()")
    return frozenset("Interval" if one.startswith("Interval") else one for one in names)


def _totals(form: ResultFormat) -> Problem:
    return _problem(
        f"{form.name} can't hold totals, and the query has GROUP BY … WITH TOTALS.",
        [one.name for one in FORMATS if one.holds_totals],
    )


def _column(form: ResultFormat, column: str | None, why: str) -> Problem:
    named = "a column of the result" if column is None else f"the column {column!r}"
    others = [one.name for one in FORMATS if one.is_text != form.is_text]
    return _problem(f"{form.name} can't hold {named}, {why}.", others, column)


def _problem(what: str, others: list[str], column: str | None = None) -> Problem:
    members: dict[str, Any] = {} if column is None else {"column": column}
    detail = f"{what} Ask for one of: {', '.join(others)}."
    return Problem(406, "format_unfit", detail, formats=others, **members)
