"""The guard, the third wall between tenants: decides what SQL a tenant may publish.

A statement passes if its tokens, and its tree as ClickHouse's own parser reads it, name nothing but
the tenant's tables and the names on the allow-lists. The guard checks the text that ClickHouse
writes for the statement, and exactly that text runs (see ``clickhouse_parser``).

A server before 26.8 can't write its tree. There the guard checks the author's own text without its
comments: its tokens, its tree as sqlglot reads it, and what ``EXPLAIN AST`` names. sqlglot knows
less of ClickHouse's SQL, so some honest queries are refused on such a server.
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
    tree,
)
from analytics_api.guard.declared import Declared
from analytics_api.guard.errors import QueryRefused
from analytics_api.parameters import values

#: Every query contains one of these words; FROM alone in ``FROM t |> …``.
_QUERY = re.compile(r"\b(?:SELECT|FROM)\b", re.IGNORECASE)

__all__ = ["Declared", "GuardedQuery", "QueryRefused", "check", "check_as_written", "text_of"]


@dataclass(frozen=True)
class GuardedQuery:
    """SQL that passed, and what it uses.

    ``sql`` is the text that may run, ``tables`` are the tenant's tables that it reads, and
    ``functions`` the names that it calls. ``parameters`` are in the text's order. ``settings`` are
    taken out of the text. ``has_prewhere``: a condition looks at rows before any row filter does.
    ``is_written``: ClickHouse has written the text, not the author.
    """

    sql: str
    tables: frozenset[str]
    functions: frozenset[str]
    parameters: tuple[Declared, ...]
    settings: Mapping[str, str] = field(default_factory=dict)
    has_prewhere: bool = False
    is_written: bool = False


def text_of(sql: str) -> str:
    """The statement without comments and without a final semicolon; raises QueryRefused."""
    text = lexer.without_comments(sql).rstrip()
    return text.removesuffix(";").rstrip()


def check(
    sql: str, *, tables: Collection[str], database: str, ask: clickhouse_parser.Ask | None = None
) -> GuardedQuery:
    """Check one statement of the tenant whose warehouse is ``database`` with these ``tables``.

    ``ask`` runs Millrace's own query on the tenant's ClickHouse. Without it only sqlglot reads the
    statement. Raises QueryRefused, which says what is not allowed and where, and, from ``ask``,
    WarehouseError.
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
    """Check a statement whose own text must run; accepts fewer statements than ``check``."""
    lexer.check_text(sql)
    with _refusing_depth():
        guarded = _by_sqlglot(sql, tables, database)
        samples = {declared.name: values.sample(declared.type) for declared in guarded.parameters}
        reading = clickhouse_parser.confirm(
            guarded.sql, samples, ask, tables=tables, database=database
        )
    # Row filters must cover every table that either parser sees: where sqlglot reads a SELECT
    # without a FROM, ClickHouse may read a column and a table (`SELECT IN t`).
    return replace(
        guarded,
        tables=guarded.tables | reading.tables,
        has_prewhere=guarded.has_prewhere or reading.has_prewhere,
    )


@contextmanager
def _refusing_depth() -> Iterator[None]:
    """Refuse a statement that is nested too deeply for recursion, whichever parser read it."""
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
    requested, written = _without_settings(written, ask)
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
        # ClickHouse reads a bare expression as a SELECT of it.
        raise QueryRefused("not_select", "A saved query is one SELECT, and nothing else.")
    return GuardedQuery(
        sql=written.text,
        tables=frozenset(reading.tables),
        functions=functions,
        parameters=parameters,
        settings=requested,
        has_prewhere=reading.has_prewhere,
        is_written=True,
    )


def _without_settings(
    written: clickhouse_parser.Written, ask: clickhouse_parser.Ask
) -> tuple[dict[str, str], clickhouse_parser.Written]:
    """The statement's SETTINGS, and the statement without them, written and read again."""
    requested, rest = query_settings.take(written.tree)
    if not requested:
        return {}, written
    bare = clickhouse_parser.write(query_settings.without(written.text), ask)
    if bare is None or bare.tree != rest:
        raise QueryRefused("clause_settings", "SETTINGS is allowed only at the end of a query.")
    return requested, bare


def _without_zeros(
    written: clickhouse_parser.Written, ask: clickhouse_parser.Ask
) -> clickhouse_parser.Written:
    """The statement without ``zeros``, which its user may not call, written and read again."""
    tokens = list(lexer.written_tokens(written.text))
    text = generators.replaced(written.text, tokens, tree.named(written.tree))
    if text == written.text:
        return written
    again = clickhouse_parser.write(text, ask)
    if again is None:
        raise QueryRefused("table_function", "zeros can't be used here. Use numbers instead.")
    return again


def _by_sqlglot(sql: str, tables: Collection[str], database: str) -> GuardedQuery:
    # It takes a tenth of a second to import, and only servers before 26.8 need it.
    from analytics_api.guard import sqlglot_parser

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
