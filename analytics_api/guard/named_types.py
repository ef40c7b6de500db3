"""Checks the types that a query names in a string, as in ``CAST(x, 'Nullable(UInt8)')``."""

from __future__ import annotations

import re
from collections.abc import Sequence

from analytics_api.guard import allowed_names
from analytics_api.guard.errors import QueryRefused

_QUOTED = re.compile(r"'(?:[^'\\]|\\.|'')*'|`(?:[^`\\]|\\.)*`|\"(?:[^\"\\]|\\.)*\"")
# A long word is read once, and not again from each of its letters.
_WITH_ARGUMENTS = re.compile(r"(?<![A-Za-z0-9_])[0-9]*+([A-Za-z_][A-Za-z0-9_]*+)\s*+\(")
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
    """Raise QueryRefused if ``text`` names a type that a query may not name."""
    for name in _WITH_ARGUMENTS.findall(_QUOTED.sub("", text)):
        if not allowed_names.is_type(name) and name.upper() not in ("REGEXP", "SKIP"):
            msg = f"A saved query may not name the type {name}."
            raise QueryRefused("type", msg)


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
