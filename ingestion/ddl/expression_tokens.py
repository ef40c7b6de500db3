"""The tokens of an expression: names, numbers, texts in single quotes, and signs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

#: The most characters of an expression.
LONGEST = 1_000
_TOKEN = re.compile(
    r"\s*(?:(?P<text>'(?:[^'\\\0]|\\.|'')*')|(?P<number>(?:\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)(?![\w.]))"
    r"|(?P<name>[A-Za-z_]\w*)|(?P<sign><=|>=|!=|<>|[-+*/=<>(),]))",
    re.DOTALL,
)
#: Names that are no columns.
WORDS = frozenset({"AND", "OR", "NOT", "IN", "IS", "NULL", "TRUE", "FALSE"})


#: A token's kind (text, number, name or sign) and its text.
Token = tuple[str, str]


class ExpressionProblem(Exception):
    """What is wrong with an expression, and what would be right."""


@lru_cache(maxsize=10_000)
def columns_in(expression: str) -> frozenset[str]:
    """The names in an expression that can be columns."""
    return columns_of(tokens(expression))


def columns_of(found: Sequence[Token]) -> frozenset[str]:
    """The names among the tokens that can be columns."""
    return frozenset(
        text
        for (kind, text), (_, after) in zip(found, [*found[1:], ("", "")], strict=True)
        if kind == "name" and after != "(" and text.upper() not in WORDS
    )


def tokens(expression: str) -> list[Token]:
    if len(expression) > LONGEST:
        msg = f"An expression has up to {LONGEST:,} characters, and this one {len(expression):,}."
        raise ExpressionProblem(msg)
    found, at, end = [], 0, len(expression.rstrip())
    while at < end:
        match = _TOKEN.match(expression, at)
        if match is None:
            rest = expression[at:].strip()
            msg = f"It can't be read from {rest[:40]!r} on. Write one ClickHouse expression."
            raise ExpressionProblem(msg)
        found.append((str(match.lastgroup), match[match.lastgroup or 0]))
        at = match.end()
    return found
