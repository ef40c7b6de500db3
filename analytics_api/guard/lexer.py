"""ClickHouse's tokens, as far as a saved query may use them.

Source: src/Parsers/Lexer.cpp of ClickHouse. What that file reads in two ways, or differently from
sqlglot, is refused here, so that both parsers behind see one and the same statement: comments are
blanked out (only ClickHouse ends ``/* /* */`` at the first ``*/``), and ``#`` and ``//`` comments,
heredocs, ``$``, ``@``, ``&``, a lone ``|``, letters glued to a string or a number, characters
other than ASCII outside of quotes, and control characters have no place in a query.

Text that ClickHouse itself has written, its ``formatQuerySingleLine``, needs none of that:
``written_tokens`` reads it as it stands.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto

from analytics_api.guard.errors import QueryRefused

#: Longest statement, in characters. A dashboard's largest are a few thousand.
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
    """A token and the offset at which it begins; ``text`` is as written."""

    kind: TokenKind
    text: str
    start: int

    @property
    def name(self) -> str:
        """A word as it is, a quoted identifier without its quotes."""
        return self.text[1:-1] if self.kind is TokenKind.QUOTED else self.text

    def is_word(self, *words: str) -> bool:
        """Whether this is one of the keywords given in capitals."""
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
    | (?P<symbol>->|::|<=>|<=|>=|<>|!=|==|\|\||[()\[\],.;+\-*/%=<>?:])
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
        found = _GRAMMAR.match(sql, position)
        if found is None or found.lastgroup is None:
            raise _unreadable(sql, position)
        kind = _KINDS.get(found.lastgroup)
        if kind is not None:
            yield _checked(Token(kind, found[0], position), sql)
        position = found.end()


def written_tokens(sql: str) -> Iterator[Token]:
    """The tokens of ``sql``, a statement as ClickHouse writes it."""
    for found in _WRITTEN.finditer(sql):
        kind = _KINDS.get(found.lastgroup or "")
        if kind is not None:
            yield Token(kind, found[0], found.start())


def check_text(sql: str) -> None:
    """Raise QueryRefused where ``sql`` is too long or has characters that no query needs."""
    if len(sql) > MAX_LENGTH:
        msg = f"The query has {len(sql):,} characters; {MAX_LENGTH:,} are the most."
        raise QueryRefused("too_long", msg)
    control = _CONTROL.search(sql)
    if control is not None:
        msg = f"The character U+{ord(control[0]):04X} may not stand in a query. Remove it."
        raise QueryRefused("character", msg, control.start())


def without_comments(sql: str) -> str:
    """``sql`` with each comment replaced by spaces, so that every offset stays what it was.

    Raises QueryRefused where the text is too long or has characters that no query needs.
    """
    check_text(sql)
    kept: list[str] = []
    position = 0
    while position < len(sql):
        found = _GRAMMAR.match(sql, position)
        if found is None:
            raise _unreadable(sql, position)
        kept.append(_blank(found[0]) if found.lastgroup == "comment" else found[0])
        position = found.end()
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
        # `1..2` or `1.a` is read as one number by one parser and as two things by the other.
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
        msg = "A brace must begin a parameter, {name:Type}. A map is written map('key', value)."
        return QueryRefused("brace", msg, position)
    shown = character if character.isprintable() else f"U+{ord(character):04X}"
    msg = (
        f"The character {shown!r} may not stand in a query outside of quotes. "
        "Comments begin with -- or /*, and names with other characters go in backticks."
    )
    return QueryRefused("character", msg, position)
