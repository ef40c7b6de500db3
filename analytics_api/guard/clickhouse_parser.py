"""Asks ClickHouse to parse and rewrite a statement.

ClickHouse rewrites the author's text (``formatQuerySingleLine``: without comments, heredocs or
other ways to say the same), returns the tree of the new text (``parseQueryToJSON``, since 26.8),
and writes that tree once more. If both texts are the same, the tree contains everything in the
text, so the text that runs is exactly what was checked. The author's text is bound as a value,
never spliced in, and none of these functions runs it.

On an older server the guard asks for ``EXPLAIN AST`` after sqlglot has read the text (see
``explained``). Only this statement contains the text itself, and the platform's own user runs it.
It is safe for three reasons. Tokens and sqlglot have shown that the text is one SELECT without
SETTINGS, FORMAT, INTO OUTFILE or a semicolon. ``EXPLAIN AST`` ends after the parser: ClickHouse
looks up no name, opens no table, calls no function and folds no constant. And it runs under
``readonly = 1`` with a limit of ten seconds, like everything that the guard asks
(``tenants.warehouse.client.read_only_rows``).
"""

from __future__ import annotations

import json
import re
from base64 import b64decode
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from analytics_api.guard import explained, tree
from analytics_api.guard.errors import QueryRefused
from tenants.warehouse.errors import StatementFailed

#: Runs one of Millrace's own queries with bound values; raises WarehouseError.
Ask = Callable[[str, Mapping[str, Any]], list[dict[str, Any]]]

# As base64, since a string in the query may contain bytes that are not UTF-8.
WRITE_SQL = (
    "WITH formatQuerySingleLine({sql:String}) AS written, parseQueryToJSON(written) AS tree "
    "SELECT base64Encode(written) AS text, base64Encode(tree) AS json, "
    "formatQueryFromJSON(tree) = written AS whole"
)
_PARSE_SQL = "SELECT base64Encode(parseQueryToJSON({sql:String})) AS json"
#: ClickHouse's error codes.
UNKNOWN_FUNCTION, _BAD_ARGUMENTS, _SYNTAX = 46, 36, 62
_POSITION = re.compile(
    r"failed at position (\d+) \((.*?)\)(?: \(line \d+, col \d+\))?: ", re.DOTALL
)
_EXPECTED = re.compile(r"\. (Expected (?:one of: )?.*?)\.?\Z", re.DOTALL)
_MOST_EXPECTED = 80


@dataclass(frozen=True)
class Written:
    """A statement as ClickHouse writes it, and its tree."""

    text: str
    tree: dict[str, Any]


def write(sql: str, ask: Ask) -> Written | None:
    """``sql`` as ClickHouse writes it; None if this server can't give a tree that equals the text.

    Raises QueryRefused if ClickHouse can't parse ``sql``, and WarehouseError.
    """
    row = _row(sql, WRITE_SQL, ask)
    if row is None or not row["whole"]:
        return None
    raw = b64decode(row["text"])
    text = raw.decode("utf-8", "backslashreplace")
    if text.encode() != raw:
        # Such bytes occur only in quotes, where \xff means the same. Ask again to confirm that.
        again = _row(text, WRITE_SQL, ask)
        if again is None or not again["whole"] or b64decode(again["text"]) != raw:
            return None
        row = again
    return Written(text, _tree(row))


def _tree(row: Mapping[str, Any]) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(b64decode(row["json"]).decode("utf-8", "replace"))
    return read


def _row(sql: str, question: str, ask: Ask) -> dict[str, Any] | None:
    try:
        (row,) = ask(question, {"sql": sql})
    except StatementFailed as error:
        if error.code == UNKNOWN_FUNCTION:
            return None
        raise refusal(sql, error) from None
    return row


def refusal(sql: str, error: StatementFailed) -> QueryRefused:
    """Why ClickHouse can't parse ``sql``, for its author."""
    position = _POSITION.search(error.message)
    if error.code == _SYNTAX and "Multi-statements" in error.message:
        msg = "A saved query is one statement. Remove the semicolon."
        return QueryRefused("one_statement", msg)
    if error.code == _SYNTAX and position is not None:
        at = len(sql.encode()[: int(position[1]) - 1].decode("utf-8", "ignore"))
        near = position[2][:60]
        expected = _EXPECTED.search(error.message)
        hint = f" {expected[1]}." if expected and len(expected[1]) < _MOST_EXPECTED else ""
        line = sql.count("\n", 0, at) + 1
        return QueryRefused("syntax", f"Syntax error in line {line} near {near!r}.{hint}", at)
    if error.code == _BAD_ARGUMENTS:
        return QueryRefused("not_select", "A saved query is one SELECT, and nothing else.")
    return QueryRefused("syntax", f"ClickHouse can't parse the query: {error.message[:200]}")


def confirm(
    sql: str, samples: Mapping[str, str], ask: Ask, *, tables: Collection[str], database: str
) -> tree.Reading:
    """Check what ClickHouse reads in ``sql``, after sqlglot has accepted it; returns the reading.

    Raises QueryRefused and WarehouseError.
    """
    row = _row(sql, _PARSE_SQL, ask)
    if row is not None:
        return tree.read(_tree(row), tables=tables, database=database)
    # It takes a tenth of a second to import, and only servers before 26.8 need it.
    from analytics_api.guard import sqlglot_parser

    explained.check_applied(sql)
    try:
        lines = ask(f"EXPLAIN AST {sql}", samples)
    except StatementFailed as error:
        raise refusal(sql, error) from None
    texts = [str(next(iter(line.values()))) for line in lines]
    ctes = sqlglot_parser.ctes_of(sqlglot_parser.parse(sql))
    return explained.read(texts, ctes=ctes, tables=tables, database=database)
