"""Wall three: what SQL a tenant may publish.

A statement passes when its tokens, its tree as sqlglot reads it, and (at publishing, see
``engine``) its tree as ClickHouse itself reads it all name nothing but the tenant's tables and
what the allow-lists have. Nothing is rewritten: the text that was checked is the text that runs,
with its comments blanked out.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from analytics_api.guard import calls, declared, lexer, statement
from analytics_api.guard.declared import Declared
from analytics_api.guard.errors import QueryRefused

__all__ = ["Declared", "GuardedQuery", "QueryRefused", "check", "text_of"]


@dataclass(frozen=True)
class GuardedQuery:
    """SQL that passed, and what it uses.

    ``sql`` is the author's text without comments and a last semicolon; ``tables`` the tenant's
    tables that it reads; ``functions`` the names it calls; ``parameters`` in the text's order.
    """

    sql: str
    tables: frozenset[str]
    functions: frozenset[str]
    parameters: tuple[Declared, ...]


def text_of(sql: str) -> str:
    """The statement without comments and a last semicolon; raises QueryRefused."""
    text = lexer.without_comments(sql).rstrip()
    return text.removesuffix(";").rstrip()


def check(sql: str, *, tables: Collection[str], database: str) -> GuardedQuery:
    """Guard one statement of the tenant whose warehouse is ``database`` with these ``tables``.

    Raises QueryRefused, which says what is not allowed and where.
    """
    text = text_of(sql)
    if not text:
        raise QueryRefused("empty", "The query is empty. Write a SELECT.")
    tokens = list(lexer.tokens(text))
    functions = calls.check(tokens)
    parameters = declared.find(tokens)
    tree = statement.parse(text)
    statement.check_classes(tree)
    return GuardedQuery(
        sql=text,
        tables=statement.tables_of(tree, tables=tables, database=database),
        functions=functions,
        parameters=parameters,
    )
