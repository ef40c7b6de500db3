"""Types that a query names in a text, as ``CAST(x, 'Nullable(UInt8)')`` does."""

from __future__ import annotations

import re
from collections.abc import Sequence

from analytics_api.guard import allowed_names
from analytics_api.guard.errors import QueryRefused

_QUOTED = re.compile(r"'(?:[^'\\]|\\.|'')*'|`(?:[^`\\]|\\.)*`|\"(?:[^\"\\]|\\.)*\"")
_WITH_ARGUMENTS = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)\s*\(")
#: Functions that name a type, and which of their arguments it is.
_CASTS = {
    "cast": 1,
    "accuratecast": 1,
    "accuratecastornull": 1,
    "accuratecastordefault": 1,
    "reinterpret": 1,
    "defaultvalueoftypename": 0,
}


def check(text: str) -> None:
    """Raise QueryRefused where a type in ``text`` is none that a query may name."""
    for name in _WITH_ARGUMENTS.findall(_QUOTED.sub("", text)):
        if not allowed_names.is_type(name) and name.upper() not in ("REGEXP", "SKIP"):
            msg = f"The type {name} may not be named in a saved query."
            raise QueryRefused("type", msg)


def check_call(function: str, arguments: Sequence[str | None]) -> None:
    """Hold the type that a call names to the list; an argument that is no text is None."""
    position = _CASTS.get(function)
    if position is None or position >= len(arguments):
        return
    text = arguments[position]
    if text is None:
        raise QueryRefused("type", f"{function} takes its type as a plain text in quotes.")
    check(text)
