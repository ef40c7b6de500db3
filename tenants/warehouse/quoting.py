"""Quotes names and values for ClickHouse's SQL, and reads quoted ones. No other module does.

Sources: clickhouse.com/docs/sql-reference/syntax and …/interfaces/formats/TabSeparated. The module
imports nothing of Millrace or Django, because the embedded engine's process uses it too.
"""

from __future__ import annotations

import re

#: NUL is always escaped, because the embedded engine's C interface may take it for the end.
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
        # So that a text can also be inside quotes, as in an array.
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
#: After a backslash these, and control characters, stand for themselves. Before any other
#: character the backslash stays.
_ITSELF = frozenset("\\'\"`/=")


def identifier(name: str) -> str:
    """A name in backticks; it may have any characters."""
    return f"`{name.translate(_IN_IDENTIFIER)}`"


def unquoted_identifier(quoted: str) -> str:
    """The name in backticks, in which only backticks and backslashes are escaped."""
    return re.sub(r"\\([`\\])|``", lambda escape: escape[1] or "`", quoted[1:-1])


def string(value: str) -> str:
    """A string literal; it may have any characters."""
    return f"'{value.translate(_IN_STRING)}'"


def tab_separated(value: str) -> str:
    """``value`` as a TabSeparated field, the format in which ClickHouse reads ``param_<name>``."""
    return value.translate(_IN_TAB_SEPARATED)


def unquoted(literal: str) -> str:
    """The value of a string literal, which is given with its quotes."""
    return _ESCAPE.sub(_meaning, literal[1:-1])


def _meaning(escape: re.Match[str]) -> str:
    digits, sign = escape[1], escape[2]
    if digits is not None:
        return chr(int(digits, 16))
    if sign is None:
        return "'"
    is_itself = sign in _ITSELF or sign < " "
    return _ESCAPED.get(sign, sign if is_itself else f"\\{sign}")
