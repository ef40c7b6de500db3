"""Checks a row filter's condition: one expression over the columns of one table.

Its text is put in brackets and joined with other conditions, so it must be an expression by itself.
It may not reach beyond the row, to other tables, aggregates or parameters.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from sqlglot import exp

from analytics_api.guard import allowed_names, calls, lexer, sqlglot_parser
from analytics_api.guard.errors import QueryRefused
from analytics_api.guard.lexer import Token, TokenKind

_BEYOND: tuple[type[exp.Expr], ...] = (exp.Query, exp.Window, exp.Star, exp.Placeholder, exp.Alias)
_SELECT = "SELECT 1 FROM t WHERE (\n"


@lru_cache(maxsize=10_000)
def columns_of(condition: str) -> frozenset[str]:
    """The columns that ``condition`` reads. Raises QueryRefused if it is not a condition."""
    text = lexer.without_comments(condition).strip()
    if not text:
        raise QueryRefused("filter", "The condition is empty. Write one, such as customer = 7.")
    if text != condition.strip():
        raise QueryRefused("filter", "A condition can't have comments. Remove them.")
    tokens = list(lexer.tokens(text))
    _check_brackets(tokens)
    _check_names(calls.check(tokens), tokens)
    tree = sqlglot_parser.parse(f"{_SELECT}{text}\n)")
    sqlglot_parser.check_classes(tree)
    return _columns(_expression(tree))


def _check_brackets(tokens: Iterable[Token]) -> None:
    """Refuse ``1) OR (1``, which would close the bracket around the condition."""
    opened: list[str] = []
    for token in tokens:
        if token.text in ("(", "["):
            opened.append(token.text)
        elif token.text in (")", "]") and (not opened or opened.pop() != "(["[token.text == "]"]):
            raise QueryRefused("filter", "The condition's brackets don't match.", token.start)
    if opened:
        raise QueryRefused("filter", "The condition's brackets don't match.")


def _check_names(functions: Iterable[str], tokens: Iterable[Token]) -> None:
    for name in functions:
        if allowed_names.is_aggregate(name) or name.lower() in ("arrayjoin", "untuple"):
            msg = f"A condition looks at one row at a time, so it can't use {name}."
            raise QueryRefused("filter", msg)
    for token in tokens:
        if token.kind is TokenKind.PARAMETER or token.is_word(
            "SELECT", "FROM", "AS", "OVER", "COLUMNS", "APPLY"
        ):
            msg = f"A condition is an expression over one table's columns, without {token.text}."
            raise QueryRefused("filter", msg, token.start)


def _expression(tree: exp.Expr) -> exp.Expr:
    where = tree.args.get("where")
    plain = isinstance(tree, exp.Select) and isinstance(where, exp.Where)
    inner = where.this if where is not None and isinstance(where.this, exp.Paren) else None
    others = {key for key, value in tree.args.items() if value} - {"expressions", "from_", "where"}
    if not plain or inner is None or others - {"from", "kind"}:
        raise QueryRefused("filter", "This is more than a condition. Write one expression.")
    expression: exp.Expr = inner.this
    return expression


def _columns(tree: exp.Expr) -> frozenset[str]:
    for node in tree.walk():
        if isinstance(node, _BEYOND) or (isinstance(node, exp.In) and not _is_list(node)):
            msg = f"{node.sql(dialect='clickhouse')[:60]} reaches beyond the row."
            raise QueryRefused("filter", msg)
    return frozenset(_name(node) for node in tree.find_all(exp.Column) if not _is_bound(node))


def _is_list(node: exp.In) -> bool:
    """Whether IN has a list on its right: a name there may be a table."""
    return not node.args.get("field") and not any(
        isinstance(item.unnest(), exp.Column | exp.Dot | exp.Identifier)
        for item in node.expressions
    )


def _name(node: exp.Column) -> str:
    if node.table:
        msg = f"Write the column {node.sql(dialect='clickhouse')} without a table, or in backticks."
        raise QueryRefused("filter", msg)
    return str(node.name)


def _is_bound(node: exp.Column) -> bool:
    """Whether the name is the parameter of a lambda, not a column."""
    parent = node.parent
    while parent is not None:
        parameters = parent.expressions if isinstance(parent, exp.Lambda) else ()
        if node.name in {parameter.name for parameter in parameters}:
            return True
        parent = parent.parent
    return False
