"""Finds what this server needs to know about a statement: first word, format, where data begins.

The engine's parser decides everything else. The scan skips strings, quoted names and comments.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from tenants.warehouse.quoting import string

# What is not closed goes on to the end. If it were no match, every later sign would be tried to the
# end as well: seconds for a text of 60 KB. The engine refuses such a statement in any case.
_TOKEN = re.compile(
    rb"""(?P<skip>\s+|--[^\n]*|\#!?\s[^\n]*|/\*(?:.*?\*/|.*))
    |(?P<quoted>`(?:[^`\\]|\\.|``)*`?|"(?:[^"\\]|\\.|"")*"?|'(?:[^'\\]|\\.|'')*'?)
    |(?P<word>[A-Za-z_][A-Za-z0-9_]*)
    |(?P<other>.)""",
    re.DOTALL | re.VERBOSE,
)
# A column or table may be named format, too. Then one of these words follows, which is no format.
# Nothing is tried twice (++, *+): a few hundred blanks in a string took minutes otherwise.
_FORMAT_TAIL = re.compile(
    r"""(?<![.`"])\bFORMAT\s++(?!(?:ASC|DESC|END|FINAL)\b)(?P<name>[A-Za-z][A-Za-z0-9]*+)
    (?:\s++SETTINGS\s++[\w\s=.,+-]*+(?:'[^']*+'[\w\s=.,+-]*+)*+)?+\s*+;?+\s*+\Z""",
    re.IGNORECASE | re.VERBOSE,
)
#: How far from a query's end its FORMAT clause may start, in characters; SETTINGS may follow it.
_LONGEST_TAIL = 10_000
#: A comment, or quoted text, in which nothing is a comment; $tag$ quotes as well.
_COMMENT = re.compile(
    r"""(?P<quoted>`(?:[^`\\]|\\.|``)*`?|"(?:[^"\\]|\\.|"")*"?|'(?:[^'\\]|\\.|'')*'?
        |(?<![\w$])\$(?P<tag>\w*)\$(?:.*?\$(?P=tag)\$|.*))
    |--[^\n]*|\#!?\s[^\n]*|/\*(?:.*?\*/|.*)""",
    re.DOTALL | re.VERBOSE,
)
_SETTINGS_TAIL = re.compile(rb"\s*SETTINGS\s+([^\n]*)", re.IGNORECASE)
#: Statements whose result can be streamed.
_READS = frozenset({"SELECT", "WITH", "FROM", "("})
#: Statements that change the state of their connection.
_LASTING = frozenset({"SET", "USE", "BEGIN", "COMMIT", "ROLLBACK", "EXECUTE", "DETACH", "ATTACH"})


@dataclass(frozen=True)
class StatementToken:
    """A word, quoted text or other character; ``start`` and ``end`` are offsets in bytes."""

    kind: str
    text: str
    start: int
    end: int


def tokens(sql: bytes) -> Iterator[StatementToken]:
    """The statement's tokens without blanks and comments."""
    for match in _TOKEN.finditer(sql):
        kind = match.lastgroup or "other"
        if kind != "skip":
            text = match[0].decode("utf-8", "replace")
            yield StatementToken(kind, text.upper() if kind == "word" else text, *match.span())


def first_words(sql: bytes, count: int = 2) -> list[str]:
    """The first tokens of a statement, words in capitals; looks at the first 4096 bytes."""
    words: list[str] = []
    for token in tokens(sql[:4096]):
        words.append(token.text)
        if len(words) == count:
            break
    return words


@dataclass(frozen=True)
class Insertion:
    """An INSERT with data. ``head`` ends before SETTINGS and FORMAT.

    ``data_at`` is the offset of the data in bytes; ``settings`` the SETTINGS clause, or ''.
    """

    head: str
    form: str
    data_at: int
    settings: str = ""

    def given(self, more: Iterable[tuple[str, str]]) -> Insertion:
        """A copy with ``more`` settings; the statement's own settings come last, so they win."""
        pairs = [f"{name} = {string(value)}" for name, value in more]
        if not pairs:
            return self
        own = [self.settings[len("SETTINGS") :]] if self.settings else []
        return replace(self, settings="SETTINGS " + ", ".join(pairs + own))


def insertion(sql: bytes, default_form: str) -> Insertion | None:
    """Split an INSERT from its data; None for INSERT … SELECT and FROM INFILE.

    ``sql`` may end with binary data, which is not read.
    """
    depth = 0
    # INSERT INTO and the first part of the table's name, which may be a word such as VALUES.
    naming = 3
    settings: StatementToken | None = None
    for seen, token in enumerate(tokens(sql), 1):
        depth += {"(": 1, ")": -1}.get(token.text, 0) if token.kind == "other" else 0
        if (seen == 3 and token.text == "TABLE") or (seen == naming + 1 and token.text == "."):
            naming = seen + 1
        if depth or token.kind != "word" or seen <= naming:
            continue
        if token.text == "SETTINGS":
            settings = token
        if token.text == "FORMAT":
            return _with_format(sql, settings, token)
        if token.text == "VALUES":
            return Insertion(*_parts(sql, settings, token.start, "Values", token.end))
        if token.text in ("SELECT", "WITH", "INFILE", "WATCH"):
            return None
    end = len(sql.rstrip().rstrip(b";"))
    return Insertion(*_parts(sql, settings, end, default_form or "Values", len(sql)))


def _parts(
    sql: bytes, settings: StatementToken | None, end: int, form: str, data_at: int
) -> tuple[str, str, int, str]:
    middle = settings.start if settings else end
    head, clause = (
        part.decode("utf-8", "surrogateescape").strip() for part in (sql[:middle], sql[middle:end])
    )
    return head, form, data_at, clause


def _with_format(
    sql: bytes, settings: StatementToken | None, keyword: StatementToken
) -> Insertion | None:
    name = re.compile(rb"\s*([A-Za-z][A-Za-z0-9]*)").match(sql, keyword.end)
    if name is None:
        return None
    end = name.end()
    tail = _SETTINGS_TAIL.match(sql, end)
    if tail is not None:
        end = tail.end()
    blank = re.compile(rb"[ \t\f\v]*;?[ \t\f\v]*\r?\n?").match(sql, end)
    data_at = blank.end() if blank else end
    parts = _parts(sql, settings, keyword.start, name[1].decode(), data_at)
    insert = Insertion(*parts)
    if tail is None:
        return insert
    return replace(insert, settings=f"SETTINGS {tail[1].decode('utf-8', 'replace')}")


def is_read(words: list[str]) -> bool:
    """Whether a statement with these first words is a SELECT."""
    return bool(words) and words[0] in _READS


def is_lasting(words: list[str]) -> bool:
    """Whether a statement with these first words changes its connection for later statements."""
    return bool(words) and (words[0] in _LASTING or "TEMPORARY" in words)


def output_format(sql: str) -> tuple[str, int]:
    """The format named at a query's end, and where the clause starts; ("", length) for none."""
    if "format" not in sql.lower():
        return "", len(sql)
    # Looked at first, because most statements have no comment and some have long lists of strings.
    is_plain = not any(sign in sql for sign in ("--", "/*", "#"))
    text = sql if is_plain else _COMMENT.sub(_blank, sql)
    clause = _FORMAT_TAIL.search(text, max(0, len(text.rstrip()) - _LONGEST_TAIL))
    return (clause["name"], clause.start()) if clause else ("", len(sql))


def _blank(match: re.Match[str]) -> str:
    """Blanks instead of a comment, so that all that follows keeps its place; quoted text stays."""
    return match["quoted"] or " " * len(match[0])
