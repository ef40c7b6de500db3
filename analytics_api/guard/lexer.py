"""Splits a saved query into ClickHouse's tokens, as far as the query may use them.

Source: src/Parsers/Lexer.cpp of ClickHouse. Text that ClickHouse may read in two ways, or otherwise
than sqlglot, is refused, so that both parsers see the same statement. Comments are replaced by
spaces, since only ClickHouse ends ``/* /* */`` at the first ``*/``. Refused are ``#`` and ``//``
comments, heredocs, ``$``, ``@``, ``&``, a lone ``|``, letters next to a string or a number,
characters other than ASCII outside of quotes, and control characters.

Text that ClickHouse itself has written (``formatQuerySingleLine``) needs none of these rules:
``written_tokens`` reads it unchanged.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto

from analytics_api.guard.errors import QueryRefused

#: The longest statement, in characters. A dashboard's largest ones have a few thousand.
MAX_LENGTH = 100_000


class TokenKind(Enum):
    WORD = auto()
    QUOTED = auto()
    STRING = auto()
    NUMBER = auto()
    PARAMETER = auto()
    SYMBOL = auto()


@dataclass(frozen=True)
class Token:
    """A token: its ``text`` as written, and the offset at which it starts, in characters."""

    kind: TokenKind
    text: str
    start: int

    @property
    def name(self) -> str:
        """A word as it is, a quoted identifier without its quotes."""
        return self.text[1:-1] if self.kind is TokenKind.QUOTED else self.text

    def is_word(self, *words: str) -> bool:
        """Whether this is one of these keywords, which are given in upper case."""
        return self.kind is TokenKind.WORD and self.text.upper() in words


_GRAMMAR = re.compile(
    r"""
      (?P<space>[ \t\r\n]+)
    | (?P<comment>--[^\n]*|/\*.*?\*/)
    | (?P<parameter>\{[ ]*[A-Za-z_][A-Za-z0-9_]*[ ]*:[^{}]*\})
    | (?P<string>'(?:[^'\\]|\\.|'')*')
    | (?P<quoted>`[^`\\\n]+`|"[^"\\\n]+")
    | (?P<number>0[xX][0-9A-Fa-f]+|(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)
    | (?P<word>[A-Za-z_][A-Za-z0-9_]*)
    | (?P<symbol>->|::|<=>|<=|>=|<>|!=|==|\|\||[()\[\],.;+\-*%=<>?:]|/(?!\*))
    """,
    re.VERBOSE | re.DOTALL,
)
_WRITTEN = re.compile(
    r"""
      (?P<space>[ \n]+)
    | (?P<parameter>\{[ ]*[A-Za-z_][A-Za-z0-9_]*[ ]*:[^{}]*\})
    | (?P<string>'(?:[^'\\]|\\.)*')
    | (?P<quoted>`(?:[^`\\]|\\.)+`)
    | (?P<number>(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)
    | (?P<word>[A-Za-z_][A-Za-z0-9_]*)
    | (?P<symbol>->|::|<=>|<=|>=|<>|!=|==|\|\||.)
    """,
    re.VERBOSE | re.DOTALL,
)
_GLUED = re.compile(r"[A-Za-z0-9_'\"`$]")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
_KINDS = {
    "word": TokenKind.WORD,
    "quoted": TokenKind.QUOTED,
    "string": TokenKind.STRING,
    "number": TokenKind.NUMBER,
    "parameter": TokenKind.PARAMETER,
    "symbol": TokenKind.SYMBOL,
}


def tokens(sql: str) -> Iterator[Token]:
    """The tokens of ``sql`` without spaces and comments; raises QueryRefused."""
    position = 0
    while position < len(sql):
        match = _GRAMMAR.match(sql, position)
        if match is None or match.lastgroup is None:
            raise _unreadable(sql, position)
        kind = _KINDS.get(match.lastgroup)
        if kind is not None:
            yield _checked(Token(kind, match[0], position), sql)
        position = match.end()


def written_tokens(sql: str) -> Iterator[Token]:
    """The tokens of ``sql``, a statement as ClickHouse writes it."""
    for match in _WRITTEN.finditer(sql):
        kind = _KINDS.get(match.lastgroup or "")
        if kind is not None:
            yield Token(kind, match[0], match.start())


def check_text(sql: str) -> None:
    """Raise QueryRefused if ``sql`` is too long or has characters that no query needs."""
    if len(sql) > MAX_LENGTH:
        msg = f"The query has {len(sql):,} characters; at most {MAX_LENGTH:,} are allowed."
        raise QueryRefused("too_long", msg)
    control = _CONTROL.search(sql)
    if control is not None:
        msg = f"The character U+{ord(control[0]):04X} is not allowed in a query. Remove it."
        raise QueryRefused("character", msg, control.start())


def without_comments(sql: str) -> str:
    """``sql`` with each comment replaced by spaces, so that offsets don't change.

    Raises QueryRefused if the text is too long or has characters that no query needs.
    """
    check_text(sql)
    kept: list[str] = []
    position = 0
    while position < len(sql):
        match = _GRAMMAR.match(sql, position)
        if match is None:
            raise _unreadable(sql, position)
        kept.append(_blank(match[0]) if match.lastgroup == "comment" else match[0])
        position = match.end()
    return "".join(kept)


def _blank(comment: str) -> str:
    return re.sub(r"[^\n]", " ", comment)


def _checked(token: Token, sql: str) -> Token:
    end = token.start + len(token.text)
    if token.kind in (
        TokenKind.WORD,
        TokenKind.NUMBER,
        TokenKind.STRING,
        TokenKind.QUOTED,
    ) and end < len(sql):
        if _GLUED.match(sql, end):
            msg = f"{token.text[:40]!r} runs into {sql[end]!r}. Put a space or comma between them."
            raise QueryRefused("glued", msg, end)
        # One parser reads `1..2` or `1.a` as one number, the other as two tokens.
        if token.kind is TokenKind.NUMBER and token.text.endswith("."):
            msg = f"Write {token.text!r} as {token.text + '0'!r}."
            raise QueryRefused("number", msg, token.start)
    return token


def _unreadable(sql: str, position: int) -> QueryRefused:
    character = sql[position]
    if character in "'\"`":
        msg = (
            f"The quote {character} is not closed, or an identifier holds a quote, a backslash "
            "or a line break."
        )
        return QueryRefused("quote", msg, position)
    if sql.startswith("/*", position):
        return QueryRefused("comment", "The comment /* is not closed by */.", position)
    if character == "{":
        msg = "A brace must start a parameter, {name:Type}. A map is written map('key', value)."
        return QueryRefused("brace", msg, position)
    shown = character if character.isprintable() else f"U+{ord(character):04X}"
    msg = (
        f"The character {shown!r} is not allowed in a query outside of quotes. "
        "Start comments with -- or /*, and put names with other characters in backticks."
    )
    return QueryRefused("character", msg, position)
