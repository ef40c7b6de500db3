"""Wall three: what SQL a tenant may publish.

A statement passes when its tree, as ClickHouse's own parser reads it, and its tokens name nothing
but the tenant's tables and what the allow-lists have. What is checked is the statement as
ClickHouse writes it anew, and that text, to the letter, is what runs (see ``clickhouse_parser``).

A server before 26.8 can't write its tree. There the author's own text is checked, with its comments
blanked out: its tokens, its tree as sqlglot reads it, and what ``EXPLAIN AST`` names. That reader
knows less of ClickHouse's SQL, so some honest queries are refused there.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from analytics_api.guard import (
    calls,
    clickhouse_parser,
    declared,
    generators,
    lexer,
    places,
    query_settings,
    sqlglot_parser,
    tree,
)
from analytics_api.guard.declared import Declared
from analytics_api.guard.errors import QueryRefused
from analytics_api.parameters import values

#: A word without which nothing is a query, but for ``FROM t |> …``.
_QUERY = re.compile(r"\b(?:SELECT|FROM)\b", re.IGNORECASE)

__all__ = ["Declared", "GuardedQuery", "QueryRefused", "check", "check_as_written", "text_of"]


@dataclass(frozen=True)
class GuardedQuery:
    """SQL that passed, and what it uses.

    ``sql`` is the text that may run; ``tables`` the tenant's tables that it reads; ``functions``
    the names it calls; ``parameters`` in the text's order; ``settings`` what it asks for beside the
    text; ``has_prewhere`` whether it looks at rows before any row filter does; ``is_written``
    whether the text is as ClickHouse writes it, not as its author did.
    """

    sql: str
    tables: frozenset[str]
    functions: frozenset[str]
    parameters: tuple[Declared, ...]
    settings: Mapping[str, str] = field(default_factory=dict)
    has_prewhere: bool = False
    is_written: bool = False


def text_of(sql: str) -> str:
    """The statement without comments and a last semicolon; raises QueryRefused."""
    text = lexer.without_comments(sql).rstrip()
    return text.removesuffix(";").rstrip()


def check(
    sql: str, *, tables: Collection[str], database: str, ask: clickhouse_parser.Ask | None = None
) -> GuardedQuery:
    """Guard one statement of the tenant whose warehouse is ``database`` with these ``tables``.

    ``ask`` runs a query of ours on the tenant's ClickHouse; without it sqlglot alone reads. Raises
    QueryRefused, which says what is not allowed and where, and, by ``ask``, WarehouseError.
    """
    lexer.check_text(sql)
    if not sql.strip(" \t\r\n;"):
        raise QueryRefused("empty", "The query is empty. Write a SELECT.")
    with _refusing_depth():
        if ask is None:
            return _by_sqlglot(sql, tables, database)
        written = clickhouse_parser.write(sql, ask)
        if written is not None:
            return _by_engine(sql, written, tables, database, ask)
    return check_as_written(sql, tables=tables, database=database, ask=ask)


def check_as_written(
    sql: str, *, tables: Collection[str], database: str, ask: clickhouse_parser.Ask
) -> GuardedQuery:
    """The same, where the text that runs must be the author's own; it takes fewer statements."""
    lexer.check_text(sql)
    with _refusing_depth():
        guarded = _by_sqlglot(sql, tables, database)
        samples = {one.name: values.sample(one.type) for one in guarded.parameters}
        reading = clickhouse_parser.confirm(
            guarded.sql, samples, ask, tables=tables, database=database
        )
    # A row filter must hold for every table that either of the two readers sees: what sqlglot takes
    # for a SELECT without a FROM, ClickHouse may take for a column and a table (`SELECT IN t`).
    return replace(
        guarded,
        tables=guarded.tables | reading.tables,
        has_prewhere=guarded.has_prewhere or reading.has_prewhere,
    )


@contextmanager
def _refusing_depth() -> Iterator[None]:
    """What is nested deeper than a tree can be walked is refused, whoever has read it."""
    try:
        yield
    except RecursionError:
        raise QueryRefused("too_deep", "The query is nested too deeply.") from None


def _by_engine(
    sql: str,
    written: clickhouse_parser.Written,
    tables: Collection[str],
    database: str,
    ask: clickhouse_parser.Ask,
) -> GuardedQuery:
    asked, written = _without_settings(written, ask)
    written = _without_zeros(written, ask)
    try:
        tokens = list(lexer.written_tokens(written.text))
        functions = calls.check(tokens, named=tree.named(written.tree), clauses=False)
        parameters = declared.find(tokens)
    except QueryRefused as refused:
        if refused.position is not None:
            refused.position = places.carried(sql, written.text, refused.position)
        raise
    reading = tree.read(written.tree, tables=tables, database=database)
    if _QUERY.search(sql) is None:
        # ClickHouse takes a bare expression for a SELECT of it.
        raise QueryRefused("not_select", "A saved query is one SELECT, and nothing else.")
    return GuardedQuery(
        sql=written.text,
        tables=frozenset(reading.tables),
        functions=functions,
        parameters=parameters,
        settings=asked,
        has_prewhere=reading.has_prewhere,
        is_written=True,
    )


def _without_settings(
    written: clickhouse_parser.Written, ask: clickhouse_parser.Ask
) -> tuple[dict[str, str], clickhouse_parser.Written]:
    """The statement's SETTINGS, and the statement without: its text is written and read again."""
    asked, rest = query_settings.take(written.tree)
    if not asked:
        return {}, written
    bare = clickhouse_parser.write(query_settings.without(written.text), ask)
    if bare is None or bare.tree != rest:
        raise QueryRefused("clause_settings", "SETTINGS may stand at the end of a query alone.")
    return asked, bare


def _without_zeros(
    written: clickhouse_parser.Written, ask: clickhouse_parser.Ask
) -> clickhouse_parser.Written:
    """The statement by what its user may call: changed, it is written and read again."""
    tokens = list(lexer.written_tokens(written.text))
    text = generators.replaced(written.text, tokens, tree.named(written.tree))
    if text == written.text:
        return written
    again = clickhouse_parser.write(text, ask)
    if again is None:
        raise QueryRefused("table_function", "zeros can't be used like that. Use numbers.")
    return again


def _by_sqlglot(sql: str, tables: Collection[str], database: str) -> GuardedQuery:
    text = text_of(sql)
    if not text:
        raise QueryRefused("empty", "The query is empty. Write a SELECT.")
    tokens = list(lexer.tokens(text))
    functions = calls.check(tokens)
    parameters = declared.find(tokens)
    parsed = sqlglot_parser.parse(text)
    sqlglot_parser.check_classes(parsed)
    return GuardedQuery(
        sql=text,
        tables=sqlglot_parser.tables_of(parsed, tables=tables, database=database),
        functions=functions,
        parameters=parameters,
        has_prewhere=any(token.is_word("PREWHERE") for token in tokens),
    )
