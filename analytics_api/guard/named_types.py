"""Checks the types that a query names in a string, as in ``CAST(x, 'Nullable(UInt8)')``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from analytics_api.guard import allowed_names, lexer
from analytics_api.guard.errors import QueryRefused
from analytics_api.guard.lexer import TokenKind

#: How many characters of a type a message shows.
_SHOWN = 100
#: Functions that take the name of a type -> the index of that argument.
_CASTS = {
    "cast": 1,
    "accuratecast": 1,
    "accuratecastornull": 1,
    "accuratecastordefault": 1,
    "reinterpret": 1,
    "defaultvalueoftypename": 0,
}


def check(text: str) -> None:
    """Raise QueryRefused if ``text`` names a type that a query may not name, or can't be read.

    ClickHouse reads a type as it reads a statement, comments included.
    """
    for name in _with_arguments(text):
        if not allowed_names.is_type(name) and name.upper() not in ("REGEXP", "SKIP"):
            msg = f"A saved query may not name the type {name}."
            raise QueryRefused("type", msg)


def _with_arguments(text: str) -> Iterator[str]:
    """Each word that a parenthesis follows."""
    try:
        for token, following in pairwise(lexer.tokens(text)):
            if token.kind is not TokenKind.STRING and following.text == "(":
                yield token.name
    except QueryRefused as error:
        msg = f"The type {text[:_SHOWN]} can't be read. {error.message}"
        raise QueryRefused("type", msg) from None


def check_call(function: str, arguments: Sequence[str | None]) -> None:
    """Raise QueryRefused if a call names a type that is not allowed.

    ``arguments`` are the call's string literals, with None for any other argument.
    """
    position = _CASTS.get(function)
    if position is None or position >= len(arguments):
        return
    text = arguments[position]
    if text is None:
        raise QueryRefused("type", f"{function} needs its type as a plain string in quotes.")
    check(text)
