"""The calls of a statement, read from its tokens: no parser's opinion stands between.

In ClickHouse a call is a name followed by a bracket, and ``APPLY`` may take a name without one. So
every name before a bracket must be known: an allowed function, table function or type, or one of
the keywords that a bracket may follow.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from analytics_api.guard import names
from analytics_api.guard.errors import QueryRefused
from analytics_api.guard.lexer import Kind, Token

_BEFORE_BRACKET = frozenset(
    """
    ALL AND ANTI ANY APPLY ARRAY AS ASOF BETWEEN BY CASE COLUMNS CUBE DISTINCT DIV ELSE EXCEPT
    EXISTS FILTER FROM GROUPING HAVING ILIKE IN INTERPOLATE INTERSECT INTERVAL IS JOIN LIKE
    LIMIT MOD NOT OFFSET ON OR OVER PREWHERE QUALIFY REGEXP REPLACE ROLLUP SELECT SEMI SETS
    STEP THEN TO UNION USING VALUES WHEN WHERE WITH
    """.split()  # noqa: SIM905 - sixty quoted words are harder to read
)
_AGGREGATE_BY_NAME = frozenset({"arrayreduce", "arrayreduceinranges", "initializeaggregation"})
_TAKES_CLAUSE = {
    "SETTINGS": "A query may not change settings: leave out SETTINGS.",
    "OUTFILE": "A query may not write files: leave out INTO OUTFILE.",
}
_SESSION = frozenset(
    {
        "CURRENT_USER",
        "CURRENTUSER",
        "SESSION_USER",
        "CURRENT_DATABASE",
        "CURRENTDATABASE",
        "CURRENT_SCHEMAS",
    }
)
MAX_DEPTH = 100
MAX_TOKENS = 20_000


@dataclass(frozen=True)
class _At:
    """A token with its neighbours; ``before`` and ``after`` are None at the ends."""

    token: Token
    before: Token | None
    after: Token | None

    def is_column(self) -> bool:
        """Behind a dot a word is a column's name, whatever it is elsewhere."""
        return self.before is not None and self.before.text == "."


def check(tokens: Sequence[Token]) -> frozenset[str]:
    """Names of the functions called; raises QueryRefused for one that is not allowed."""
    _check_size(tokens)
    called: set[str] = set()
    for index, token in enumerate(tokens):
        at = _At(
            token,
            tokens[index - 1] if index else None,
            tokens[index + 1] if index + 1 < len(tokens) else None,
        )
        if token.text == ";":
            msg = "A saved query is one statement: leave out the semicolon."
            raise QueryRefused("one_statement", msg, token.start)
        _check_keyword(at)
        if _is_call(at) or _is_applied(tokens, index):
            _check_call(at)
            if token.is_word("IN"):
                _check_operator(tokens, index)
            elif names.is_function(token.name) or names.is_table_function(token.name):
                called.add(token.name)
            _check_aggregate_by_name(tokens, index)
    return frozenset(called)


def _check_size(tokens: Sequence[Token]) -> None:
    if len(tokens) > MAX_TOKENS:
        msg = f"The query has {len(tokens):,} words and signs; {MAX_TOKENS:,} are the most."
        raise QueryRefused("too_long", msg)
    depth = 0
    for token in tokens:
        depth += (token.text in ("(", "[")) - (token.text in (")", "]"))
        if depth > MAX_DEPTH:
            msg = f"The query is nested more than {MAX_DEPTH} brackets deep."
            raise QueryRefused("too_deep", msg, token.start)


def _check_keyword(at: _At) -> None:
    token = at.token
    if token.kind is not Kind.WORD or at.is_column():
        return
    word = token.text.upper()
    if word in _TAKES_CLAUSE:
        msg = f"{_TAKES_CLAUSE[word]} (A column of that name goes in backticks.)"
        raise QueryRefused(f"clause_{word.lower()}", msg, token.start)
    if word == "FORMAT" and not (at.after is not None and at.after.text == "("):
        msg = "The caller chooses the format: leave out FORMAT, or put a column in backticks."
        raise QueryRefused("clause_format", msg, token.start)
    if word in _SESSION:
        msg = f"{token.text} is not allowed. (A column of that name goes in backticks.)"
        raise QueryRefused("function", msg, token.start)


def _is_call(at: _At) -> bool:
    if at.token.kind not in (Kind.WORD, Kind.QUOTED):
        return False
    return at.after is not None and at.after.text == "("


def _is_applied(tokens: Sequence[Token], index: int) -> bool:
    """``APPLY name`` and ``APPLY(name)`` call without a bracket behind the name."""
    if tokens[index].kind not in (Kind.WORD, Kind.QUOTED):
        return False
    before = [token for token in tokens[max(index - 2, 0) : index] if token.text != "("]
    lambda_ = index + 1 < len(tokens) and tokens[index + 1].text == "->"
    return bool(before) and before[-1].is_word("APPLY") and not lambda_


def _check_call(at: _At) -> None:
    token = at.token
    if at.is_column():
        msg = f"{token.text} stands behind a dot and before a bracket. Functions have no prefix."
        raise QueryRefused("function", msg, token.start)
    if names.is_function(token.name):
        return
    plain = token.kind is Kind.WORD
    if plain and (token.text.upper() in _BEFORE_BRACKET or names.is_type(token.text)):
        return
    if plain and names.is_table_function(token.text):
        return
    msg = f"The function {token.text} is not allowed in a saved query."
    raise QueryRefused("function", msg, token.start)


def _check_operator(tokens: Sequence[Token], index: int) -> None:
    """``IN`` is an operator: called as a function it may take any table as its second argument."""
    left = index - 1
    while left >= 0 and tokens[left].is_word("NOT", "GLOBAL"):
        left -= 1
    if left < 0 or not _ends_a_value(tokens[left]):
        msg = "IN stands between two values: x IN (...)."
        raise QueryRefused("function", msg, tokens[index].start)


def _ends_a_value(token: Token) -> bool:
    if token.kind is Kind.SYMBOL:
        return token.text in (")", "]")
    return token.kind is not Kind.WORD or token.text.upper() not in _BEFORE_BRACKET


def _is_aggregates_name(token: Token) -> bool:
    name = token.text[1:-1].partition("(")[0]
    return token.kind is Kind.STRING and names.is_aggregate(name)


def _check_aggregate_by_name(tokens: Sequence[Token], index: int) -> None:
    """``arrayReduce('sum', ...)`` names its aggregate in a string, which must be an allowed one."""
    if tokens[index].name.lower() not in _AGGREGATE_BY_NAME:
        return
    named = tokens[index + 2] if index + 2 < len(tokens) else None
    if named is not None and _is_aggregates_name(named):
        return
    msg = f"The first argument of {tokens[index].text} must be the name of an allowed aggregate."
    raise QueryRefused("function", msg, tokens[index].start)
