"""Names and values in ClickHouse's SQL: the one place that quotes them, and reads quoted ones.

By clickhouse.com/docs/sql-reference/syntax and …/interfaces/formats/TabSeparated. It imports
nothing of Millrace or Django, since the embedded engine's process uses it too.
"""

from __future__ import annotations

import re

#: NUL is always written as an escape, since the engine's own interface may take it for the end.
_IN_STRING = str.maketrans({"\\": "\\\\", "'": "\\'", "\0": "\\0"})
_IN_IDENTIFIER = str.maketrans({"\\": "\\\\", "`": "\\`", "\0": "\\0"})
_IN_TAB_SEPARATED = str.maketrans(
    {
        "\\": "\\\\",
        "\t": "\\t",
        "\n": "\\n",
        "\r": "\\r",
        "\0": "\\0",
        "\b": "\\b",
        "\f": "\\f",
        # So that a text may also stand within quotes, as in an array.
        "'": "\\'",
    }
)
_ESCAPE = re.compile(r"\\x([0-9A-Fa-f]{2})|\\(.)|''", re.DOTALL)
_ESCAPED = {
    "a": "\a",
    "b": "\b",
    "e": "\x1b",
    "f": "\f",
    "n": "\n",
    "r": "\r",
    "t": "\t",
    "v": "\v",
    "0": "\0",
    "N": "",
}
#: Stand for themselves behind a backslash, as control characters do. Behind any other sign the
#: backslash stays.
_ITSELF = frozenset("\\'\"`/=")


def identifier(name: str) -> str:
    """A name of any characters, in backticks."""
    return f"`{name.translate(_IN_IDENTIFIER)}`"


def string(value: str) -> str:
    """A string literal of any characters."""
    return f"'{value.translate(_IN_STRING)}'"


def tab_separated(value: str) -> str:
    """``value`` as a field of TabSeparated, which is how ClickHouse reads ``param_<name>``."""
    return value.translate(_IN_TAB_SEPARATED)


def unquoted(literal: str) -> str:
    """What a string literal, given with its quotes, stands for."""
    return _ESCAPE.sub(_meaning, literal[1:-1])


def _meaning(escape: re.Match[str]) -> str:
    digits, sign = escape[1], escape[2]
    if digits is not None:
        return chr(int(digits, 16))
    if sign is None:
        return "'"
    is_itself = sign in _ITSELF or sign < " "
    return _ESCAPED.get(sign, sign if is_itself else f"\\{sign}")
