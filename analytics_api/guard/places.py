"""Maps a position in the text that ClickHouse writes to one in the author's text."""

from __future__ import annotations

import re

#: Text that can't contain a name: comments, strings, heredocs.
_SKIPPED = re.compile(
    r"--[^\n]*|#[ !][^\n]*|/\*.*?\*/|'(?:[^'\\]|\\.|'')*'|\$(\w*)\$.*?\$\1\$",
    re.DOTALL,
)
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PARAMETER = re.compile(r"\{\s*([A-Za-z0-9_]+)\s*:")
_QUOTED = re.compile(r"`((?:[^`\\]|\\.)+)`")


def carried(author: str, written: str, position: int) -> int | None:
    """The offset in ``author`` of the name at ``position`` of ``written``; None if not found."""
    parameter = _PARAMETER.match(written, position)
    if parameter is not None:
        match = re.search(rf"\{{\s*{parameter[1]}\s*:", author)
        return match.start() if match else None
    at = _QUOTED.match(written, position) or _NAME.match(written, position)
    if at is None:
        return None
    name = at[1] if at.re is _QUOTED else at[0]
    before = len(_all(name, written[:position]))
    places = _all(name, author)
    if not places:
        return None
    return places[min(before, len(places) - 1)]


def _all(name: str, sql: str) -> list[int]:
    text = _SKIPPED.sub(lambda match: " " * len(match[0]), sql)
    pattern = rf"(?<![A-Za-z0-9_]){re.escape(name)}(?![A-Za-z0-9_])"
    return [match.start() for match in re.finditer(pattern, text, re.IGNORECASE)]
