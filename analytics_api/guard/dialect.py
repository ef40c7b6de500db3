from __future__ import annotations

from typing import ClassVar

from sqlglot import exp
from sqlglot.dialects.clickhouse import ClickHouse
from sqlglot.parser import Parser
from sqlglot.parsers.clickhouse import ClickHouseParser
from sqlglot.tokenizer_core import TokenType


def _limit(parser: Parser) -> tuple[str, exp.Expr | None]:
    limit = parser._parse_limit()  # noqa: SLF001 - how sqlglot's own dialects extend it
    by = isinstance(limit, exp.Limit) and limit.expressions
    return ("limit_by" if by else "limit"), limit


class Dialect(ClickHouse):
    """sqlglot's ClickHouse dialect, extended to accept ``LIMIT 2 BY x LIMIT 10``."""

    class Parser(ClickHouseParser):
        QUERY_MODIFIER_PARSERS: ClassVar = {
            **ClickHouseParser.QUERY_MODIFIER_PARSERS,
            TokenType.LIMIT: _limit,
        }
