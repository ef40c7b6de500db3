"""Checks the calls in a statement by its tokens, independently of any parser.

In ClickHouse a call is a name followed by a bracket. ``APPLY``, and functions that call another one
as in ``arrayMap(lower, tags)``, take a name without a bracket. Each such name must be known: an
allowed function, table function or type, or a keyword that a bracket may follow.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from analytics_api.guard import allowed_names
from analytics_api.guard.errors import QueryRefused
from analytics_api.guard.lexer import Token, TokenKind
from analytics_api.guard.verdicts import higher_order

_BEFORE_BRACKET = frozenset(
    """
    ALL AND ANTI ANY APPLY ARRAY AS ASOF BETWEEN BY CASE COLUMNS CUBE DISTINCT DIV ELSE EXCEPT
    EXISTS FILTER FROM GROUPING HAVING ILIKE IN INTERPOLATE INTERSECT INTERVAL IS JOIN LIKE
    LIMIT MATERIALIZED MOD NOT OFFSET ON OR OVER PREWHERE QUALIFY REGEXP REPLACE ROLLUP SELECT
    SEMI SETS STALENESS STEP STRICT THEN TO UNION USING VALUES WHEN WHERE WITH
    """.split()  # noqa: SIM905 - sixty quoted words are harder to read
)
#: Functions whose first argument names a function or a format in a string, and what it may be.
_BY_NAME = {
    "arrayreduce": "the name of an allowed aggregate",
    "arrayreduceinranges": "the name of an allowed aggregate",
    "initializeaggregation": "the name of an allowed aggregate",
    "formatrow": "a format of one row that needs no schema, such as 'JSONEachRow'",
    "formatrownonewline": "a format of one row that needs no schema, such as 'JSONEachRow'",
}
_TAKES_CLAUSE = {
    "SETTINGS": "A query may not change settings. Remove SETTINGS.",
    "OUTFILE": "A query may not write files. Remove INTO OUTFILE.",
}
_SESSION = frozenset({"CURRENT_USER", "CURRENTUSER", "SESSION_USER"})
#: Functions that ClickHouse also calls without a bracket, unless a column has the name. Functions
#: that return the tenant's own user are not among them: the name may as well be a column's.
_WITHOUT_BRACKET = frozenset({"currenthandler", "currentrequesturl"})
_NUMBER_FIRST = re.compile(r"(?i)partial|topk|bottomk")
_HEXADECIMAL = re.compile(r"\\x([0-9A-Fa-f]{2})")
MAX_DEPTH = 100
MAX_TOKENS = 20_000


@dataclass(frozen=True)
class _At:
    """A token with its neighbours; ``before`` and ``after`` are None at the ends."""

    token: Token
    before: Token | None
    after: Token | None

    def is_column(self) -> bool:
        """Whether the word follows a dot: then it is a column's name, whatever it is elsewhere."""
        return self.before is not None and self.before.text == "."


def check(
    tokens: Sequence[Token], *, named: Collection[str] = (), clauses: bool = True
) -> frozenset[str]:
    """Names of the functions called; raises QueryRefused for one that is not allowed.

    ``named`` are lambdas, common table expressions and aliases that a bracket may follow.
    ``clauses``: also refuse SETTINGS, FORMAT and the like, for text that no tree check has covered.
    """
    _check_size(tokens)
    called: set[str] = set()
    for index, token in enumerate(tokens):
        at = _At(
            token,
            tokens[index - 1] if index else None,
            tokens[index + 1] if index + 1 < len(tokens) else None,
        )
        if clauses:
            _check_clause(at)
        if token.kind in (TokenKind.WORD, TokenKind.QUOTED) and not at.is_column():
            check_bare(token.name, token.start)
        applied = _is_applied(tokens, index)
        if (_is_call(at) or applied) and not _is_named(token, named):
            _check_call(at, applied=applied)
            _check_arguments(tokens, index, named)
            if _is_callable(token):
                called.add(token.name)
    return frozenset(called)


def _check_clause(at: _At) -> None:
    token = at.token
    if token.text == ";":
        msg = "A saved query is one statement. Remove the semicolon."
        raise QueryRefused("one_statement", msg, token.start)
    _check_keyword(at)
    if token.kind is TokenKind.STRING and _may_name_a_state(token.text):
        msg = "A saved query may not name the type AggregateFunction."
        raise QueryRefused("type", msg, token.start)


def _may_name_a_state(string: str) -> bool:
    """Whether ClickHouse may read ``AggregateFunction(…)`` in a string, comments included."""
    text = _HEXADECIMAL.sub(lambda found: chr(int(found[1], 16)), string).lower()
    _, named, behind = text.partition("aggregatefunction")
    return bool(named) and "(" in behind


def _check_arguments(tokens: Sequence[Token], index: int, named: Collection[str]) -> None:
    if tokens[index].is_word("IN"):
        _check_operator(tokens, index)
    _check_by_name(tokens, index)
    _check_handed_on(tokens, index, named)


def _is_callable(token: Token) -> bool:
    known = allowed_names.is_function(token.name) or allowed_names.is_table_function(token.name)
    return known and not token.is_word("AND", "OR", "NOT", "IN")


def _is_named(token: Token, named: Collection[str]) -> bool:
    """Whether the author defined the name.

    Not for a name of ClickHouse's own: only its parser knows which of the two is meant.
    """
    return token.name in named and not allowed_names.is_known(token.name)


def _check_size(tokens: Sequence[Token]) -> None:
    if len(tokens) > MAX_TOKENS:
        msg = f"The query has {len(tokens):,} words and signs; at most {MAX_TOKENS:,} are allowed."
        raise QueryRefused("too_long", msg)
    depth = 0
    for token in tokens:
        depth += (token.text in ("(", "[")) - (token.text in (")", "]"))
        if depth > MAX_DEPTH:
            msg = f"The query is nested more than {MAX_DEPTH} brackets deep."
            raise QueryRefused("too_deep", msg, token.start)


def _check_keyword(at: _At) -> None:
    token = at.token
    if token.kind is not TokenKind.WORD or at.is_column():
        return
    word = token.text.upper()
    if word in _TAKES_CLAUSE:
        msg = f"{_TAKES_CLAUSE[word]} (Put a column of that name in backticks.)"
        raise QueryRefused(f"clause_{word.lower()}", msg, token.start)
    if word == "FORMAT" and not (at.after is not None and at.after.text == "("):
        msg = "The caller chooses the format. Remove FORMAT, or put a column FORMAT in backticks."
        raise QueryRefused("clause_format", msg, token.start)
    if word in _SESSION:
        msg = f"{token.text} is not allowed. (Put a column of that name in backticks.)"
        raise QueryRefused("function", msg, token.start)


def check_bare(name: str, position: int | None = None) -> None:
    """Raise QueryRefused for a bare name that ClickHouse calls as a function."""
    if name.lower() in _WITHOUT_BRACKET:
        msg = f"{name} is not allowed. (Write a column of that name with its table: t.{name}.)"
        raise QueryRefused("function", msg, position)


def _is_call(at: _At) -> bool:
    if at.token.kind not in (TokenKind.WORD, TokenKind.QUOTED):
        return False
    return at.after is not None and at.after.text == "("


def _is_applied(tokens: Sequence[Token], index: int) -> bool:
    """Whether the name is called by ``APPLY name`` or ``APPLY(name)``."""
    if tokens[index].kind not in (TokenKind.WORD, TokenKind.QUOTED):
        return False
    before = [token for token in tokens[max(index - 2, 0) : index] if token.text != "("]
    lambda_ = index + 1 < len(tokens) and tokens[index + 1].text == "->"
    return bool(before) and before[-1].is_word("APPLY") and not lambda_


def _check_call(at: _At, *, applied: bool) -> None:
    token = at.token
    if at.is_column() and not token.is_word("COLUMNS"):
        msg = f"{token.text} stands between a dot and a bracket. Write functions without a prefix."
        raise QueryRefused("function", msg, token.start)
    if allowed_names.is_function(token.name):
        return
    plain = token.kind is TokenKind.WORD
    if plain and not applied and _may_stand_before_a_bracket(token.text):
        return
    if allowed_names.is_table_function(token.name):
        return
    msg = f"The function {token.text} is not allowed in a saved query."
    raise QueryRefused("function", msg, token.start)


def _may_stand_before_a_bracket(word: str) -> bool:
    return word.upper() in _BEFORE_BRACKET or allowed_names.is_type(word)


def _check_operator(tokens: Sequence[Token], index: int) -> None:
    """Refuse ``IN`` called as a function: its second argument could then be any table."""
    left = index - 1
    while left >= 0 and tokens[left].is_word("NOT", "GLOBAL"):
        left -= 1
    if left < 0 or not _ends_a_value(tokens[left]):
        msg = "Write IN between two values: x IN (...)."
        raise QueryRefused("function", msg, tokens[index].start)


def _ends_a_value(token: Token) -> bool:
    if token.kind is TokenKind.SYMBOL:
        return token.text in (")", "]")
    return token.kind is not TokenKind.WORD or token.text.upper() not in _BEFORE_BRACKET


def is_by_name(function: str) -> bool:
    """Whether a function's first argument names a function or a format in a string."""
    return function.lower() in _BY_NAME


def check_first(function: str, text: str | None, position: int | None = None) -> None:
    """Raise QueryRefused unless the first argument of such a function is an allowed name.

    ``text`` is None if the argument is not a plain string.
    """
    if "format" in function.lower():
        fine = text is not None and allowed_names.is_row_format(text)
    else:
        fine = text is not None and allowed_names.is_aggregate(text.partition("(")[0])
    if not fine:
        what = _BY_NAME[function.lower()]
        msg = f"The first argument of {function} must be {what}, in quotes."
        raise QueryRefused("function", msg, position)


def _check_by_name(tokens: Sequence[Token], index: int) -> None:
    """Check ``arrayReduce('sum', ...)``: the aggregate must be a string that stands alone."""
    if not is_by_name(tokens[index].name):
        return
    text, behind = ([*tokens[index + 2 : index + 4], None, None])[:2]
    plain = text is not None and text.kind is TokenKind.STRING
    alone = behind is not None and behind.text in (",", ")")
    first = text.text[1:-1] if text is not None and plain and alone else None
    check_first(tokens[index].name, first, tokens[index].start)


def _check_handed_on(tokens: Sequence[Token], index: int, named: Collection[str]) -> None:
    """Check ``arrayMap(file, paths)``, which calls ``file``: a bare name stands for a lambda."""
    if tokens[index].name.lower() not in higher_order():
        return
    first = index + 2
    while first < len(tokens) and tokens[first].text == "(":
        first += 1
    closing = first + 1 + first - (index + 2)
    if closing >= len(tokens) or tokens[closing].text != ",":
        return
    closed = all(token.text == ")" for token in tokens[first + 1 : closing])
    token = tokens[first]
    if closed and token.kind in (TokenKind.WORD, TokenKind.QUOTED) and not _is_named(token, named):
        check_handed_on(tokens[index].name, token.name, token.start)


def check_handed_on(function: str, name: str, position: int | None = None) -> None:
    """Raise QueryRefused if ``function`` would call ``name``, which is not allowed."""
    # Some take a number first, which may be a column, but not one with a function's name.
    number = _NUMBER_FIRST.search(function) is not None and not allowed_names.is_known(name)
    if not allowed_names.is_function(name) and not number:
        msg = f"{function} would call {name}, which is not allowed in a saved query."
        raise QueryRefused("function", msg, position)
