"""``zeros(n)``, which a user who may only read can't call, by ``numbers(n)``, which it can.

ClickHouse asks for the right to make temporary tables where a query calls ``zeros``; the rows that
it gives are those of the SELECT that is put in its place.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from analytics_api.guard.lexer import Token

_OPENING = "(SELECT toUInt8(0) AS zero FROM "
_INSTEAD = {"zeros": "numbers", "zeros_mt": "numbers_mt"}


def replaced(text: str, tokens: Sequence[Token], named: Collection[str]) -> str:
    """``text``, as ClickHouse writes it, without calls of ``zeros``."""
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
    """The offset behind the bracket that closes the one at ``opening``."""
    depth = 0
    for token in tokens[opening:]:
        depth += (token.text == "(") - (token.text == ")")
        if depth == 0:
            return token.start + 1
    return tokens[-1].start + 1
