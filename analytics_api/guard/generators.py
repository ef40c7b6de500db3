"""Replaces ``zeros(n)``, which a read-only user can't call, by a SELECT from ``numbers(n)``.

For ``zeros`` ClickHouse requires the right to create temporary tables. The SELECT gives the same
rows.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from analytics_api.guard.lexer import Token

_OPENING = "(SELECT toUInt8(0) AS zero FROM "
_INSTEAD = {"zeros": "numbers", "zeros_mt": "numbers_mt"}


def replaced(text: str, tokens: Sequence[Token], named: Collection[str]) -> str:
    """``text``, as ClickHouse writes it, with each call of ``zeros`` replaced."""
    edits: list[tuple[int, int, str]] = []
    for index, token in enumerate(tokens[:-1]):
        instead = None if token.name in named else _INSTEAD.get(token.name.lower())
        if instead is None or tokens[index + 1].text != "(":
            continue
        end = _closing(tokens, index + 1)
        start = token.start + len(token.text)
        edits.append((token.start, start, _OPENING + instead))
        edits.append((end, end, ")"))
    for start, end, new in sorted(edits, reverse=True):
        text = text[:start] + new + text[end:]
    return text


def _closing(tokens: Sequence[Token], opening: int) -> int:
    """The offset after the bracket that closes the one at ``opening``."""
    depth = 0
    for token in tokens[opening:]:
        depth += (token.text == "(") - (token.text == ")")
        if depth == 0:
            return token.start + 1
    return tokens[-1].start + 1
