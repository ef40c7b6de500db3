"""Paths that look like another language's, and would read nothing.

A path is keys of objects joined by dots. Written as JSONPath, jq or a JSON Pointer it would be
taken for a key that no message has, and an optional column would get its default without a word.
"""

from __future__ import annotations

import re

#: As millrace.schema.json has it, too.
UNREADABLE = (
    r"^\$($|[.\[])|^/|->|(^|\.)\*($|\.)"
    r"""|\[\s*(\*|(-?\d*(\s*:\s*-?\d*)*)|'[^']*'|"[^"]*"|\?.*)\s*\]"""
)
_UNREADABLE = re.compile(UNREADABLE)
RIGHT = "A path is the keys of objects joined by dots, such as user.country"


def unreadable(path: str) -> str:
    """Why ``path`` would read nothing, and what is right; empty where it can be read."""
    found = _UNREADABLE.search(path)
    if found is None:
        return ""
    sign = found[0].strip(".")
    if sign == "/":
        plain = path.strip("/").replace("/", ".")
        return f"It begins with a slash. {RIGHT}: write {plain}."
    if sign.startswith("$"):
        return f"It begins with $, which would be a key. {RIGHT}: leave the $ out."
    return (
        f"{sign} would be taken for a part of a key. {RIGHT}; nothing selects within an array. "
        "Give the path of the array itself and a type such as Array(String), or have the sender "
        "put the values under a key of their own."
    )
