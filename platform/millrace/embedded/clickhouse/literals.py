"""Quoting for the statements that this server makes by itself."""

from __future__ import annotations

import re

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*\Z")


def string(text: str) -> str:
    """``text`` as a ClickHouse string literal."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def tab_separated(text: str) -> str:
    """``text`` as the value of a query parameter, which ClickHouse reads as TabSeparated."""
    for sign, written in (("\\", "\\\\"), ("\t", "\\t"), ("\n", "\\n"), ("\r", "\\r")):
        text = text.replace(sign, written)
    return text


def identifier(name: str) -> str:
    """``name`` as a quoted ClickHouse identifier."""
    escaped = name.replace("\\", "\\\\").replace("`", "\\`")
    return f"`{escaped}`"


def is_setting(name: str) -> bool:
    """Whether ``name`` can be the name of a setting."""
    return bool(_NAME.match(name))
