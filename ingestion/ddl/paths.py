"""Recognises paths in another language, which would read nothing.

A path is keys of objects joined by dots. JSONPath, jq or a JSON Pointer would be taken for a key
that no message has, and an optional column would silently get its default.
"""

from __future__ import annotations

import re

#: The same pattern is in millrace.schema.json.
UNREADABLE = (
    r"^\$($|[.\[])|^/|->|(^|\.)\*($|\.)"
    r"""|\[\s*(\*|(-?\d*(\s*:\s*-?\d*)*)|'[^']*'|"[^"]*"|\?.*)\s*\]"""
)
_UNREADABLE = re.compile(UNREADABLE)
RIGHT = "A path is the keys of objects joined by dots, such as user.country"


def unreadable(path: str) -> str:
    """Why ``path`` would read nothing, and what to write instead; empty if it can be read."""
    found = _UNREADABLE.search(path)
    if found is None:
        return ""
    sign = found[0].strip(".")
    if sign == "/":
        plain = path.strip("/").replace("/", ".")
        return f"It starts with a slash. {RIGHT}: write {plain}."
    if sign.startswith("$"):
        return f"It starts with $, which would be read as a key. {RIGHT}: leave the $ out."
    return (
        f"{sign} would be read as part of a key. {RIGHT}; a path can't lead into an array. "
        "Give the path of the array itself and a type such as Array(String), or have the sender "
        "put the values under a key of their own."
    )
