"""Reads paths: the steps that lead from a message to a column's value.

A path is the keys of objects joined by dots, such as ``user.country``, or starts with ``$`` and is
a subset of JSONPath (RFC 9535), such as ``$['a key.with a dot'].b``. What is neither would be taken
for a key that no message has, and an optional column would silently get its default: so it is
refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from functools import lru_cache

_FIRST = r"(?:[A-Za-z_]|[^\x00-\x7F])"
_NAME = rf"{_FIRST}(?:[A-Za-z0-9_]|[^\x00-\x7F])*"
_ESCAPE = r"[bfnrt/\\]|u[0-9A-Fa-f]{4}"
_SINGLE = rf"'(?:[^'\\\x00-\x1F]|\\(?:'|{_ESCAPE}))*'"
_DOUBLE = rf'"(?:[^"\\\x00-\x1F]|\\(?:"|{_ESCAPE}))*"'
_KEY = rf"\.{_NAME}|\[[ \t\n\r]*(?:{_SINGLE}|{_DOUBLE})[ \t\n\r]*\]"
_END = r"(?![\s\S])"
#: Whether a path is JSONPath; ``$set`` is a key.
_IS_JSONPATH = re.compile(rf"\$({_END}|[.\[])")
#: The same pattern is in millrace.schema.json, so it is also one of ECMAScript.
UNREADABLE = (
    rf"^\$(?={_END}|[.\[])(?!(?:{_KEY})+{_END})"
    r"|^(?!\$[.\[])(?:/|[\s\S]*(?:->|(?:^|\.)\*(?:"
    rf"{_END}|\.)"
    r"""|\[\s*(?:\*|(?:-?\d*(?:\s*:\s*-?\d*)*)|'[^']*'|"[^"]*"|\?.*)\s*\]))"""
)
_UNREADABLE = re.compile(UNREADABLE)
_STEP = re.compile(_KEY)
_WHOLE_STEP = re.compile(rf"(?:{_KEY})(?={_END}|[.\[])")
_SIGN = re.compile(r"""->|\*|\[\s*(?:-?\d*(?:\s*:\s*-?\d*)*|'[^']*'|"[^"]*"|\*|\?.*)\s*\]""")
RIGHT = (
    "A path is the keys of objects joined by dots, such as user.country, or starts with $ and "
    "names each key, such as $['user.name'].first"
)


@lru_cache(maxsize=10_000)
def keys(path: str) -> tuple[str, ...]:
    """The keys that lead to the value in the message.

    What is not readable JSONPath is split at its dots, as it has always been.
    """
    if not _IS_JSONPATH.match(path) or _UNREADABLE.search(path):
        return tuple(path.split("."))
    return tuple(_key(one[0]) for one in _STEP.finditer(path, 1))


def _key(step: str) -> str:
    if step.startswith("."):
        return step[1:]
    literal = step[1:-1].strip(" \t\n\r")
    inner = literal[1:-1]
    if literal.startswith("'"):
        inner = inner.replace(r"\'", "'").replace('"', r"\"")
    key: str = json.loads(f'"{inner}"')
    return key


def shown(keys: Sequence[str]) -> str:
    """The path of these keys: joined by dots if that can be read, otherwise as JSONPath."""
    plain = ".".join(keys)
    if tuple(plain.split(".")) == tuple(keys) and not _IS_JSONPATH.match(plain):
        return plain
    return "$" + "".join(map(_written, keys))


def _written(key: str) -> str:
    if re.fullmatch(_NAME, key):
        return f".{key}"
    escaped = json.dumps(key, ensure_ascii=False)[1:-1].replace(r"\"", '"').replace("'", r"\'")
    return f"['{escaped}']"


def unreadable(path: str) -> str:
    """Why ``path`` would read nothing, and what to write instead; empty if it can be read."""
    if _UNREADABLE.search(path):
        return _no_jsonpath(path) if _IS_JSONPATH.match(path) else _other_notation(path)
    return _odd_key(path) if _IS_JSONPATH.match(path) else ""


def remark(path: str) -> str:
    """Why a stored ``path`` may read nothing, for what earlier versions accepted."""
    if _is_of_earlier_version(path):
        plain = ".".join(keys(path))
        right = "" if unreadable(plain) else f" If messages have no such key, write {plain}."
        return f"It reads the keys that {plain} meant in an earlier version.{right}"
    return unreadable(path)


def _is_of_earlier_version(path: str) -> bool:
    """Whether its first key looks like JSONPath: migration 0020 writes what was taken for a key."""
    return bool(_IS_JSONPATH.match(path) and _IS_JSONPATH.match(keys(path)[0])) and (
        not _UNREADABLE.search(path)
    )


def _odd_key(path: str) -> str:
    """Keys that ClickHouse can't have in a path; JSON has no lone surrogates."""
    for key in keys(path):
        if not key:
            return f"A key of {path} is empty. {RIGHT}."
        if "\0" in key or any("\ud800" <= sign <= "\udfff" for sign in key):
            return f"A key of {path} has a character that no message can have. {RIGHT}."
    return ""


def _other_notation(path: str) -> str:
    if path.startswith("/"):
        plain = path.strip("/").replace("/", ".")
        return f"It starts with a slash. {RIGHT}: write {plain}."
    found = _SIGN.search(path)
    sign = found[0] if found else path
    rooted = f"${path}" if path.startswith("[") else f"$.{path}"
    if not unreadable(rooted):
        return f"{sign} would be read as part of a key. {RIGHT}: write {rooted}."
    return f"{sign} would be read as part of a key. {RIGHT}. {_ARRAYS}"


_ARRAYS = (
    "A path can't lead into an array: give the path of the array itself and a type such as "
    "Array(String), or have the sender put the values under a key of their own."
)
#: What may follow the part of a JSONPath that can be read, and what to say about it.
_REFUSED = (
    (r"\.\.", "write every key on the way, since .. would look for a key at any depth"),
    (r"\[\s*\?", "a path selects by keys only, and never by a condition"),
    (r"\[\s*-?\d*\s*:", "a slice selects several values, and a column has one"),
    (r"\.?\*|\.?\[\s*[*\d]", _ARRAYS),
    (r"\[\s*-\d", "an index from the end can't be read"),
    (r"\[[^\]]*,", "several keys select several values: add a column for each"),
)


def _no_jsonpath(path: str) -> str:
    end = 1
    while step := _WHOLE_STEP.match(path, end):
        end = step.end()
    rest = path[end:]
    if not rest:
        return f"It is the whole message. {RIGHT}."
    why = next((words for sign, words in _REFUSED if re.match(sign, rest)), "")
    if not why and (name := re.match(r"\.([^.\[\]'\"]+)", rest)):
        why = f"write {path[:end]}{_written(name[1])}"
    said = f"It can't be read from {rest} on" + (f": {why}" if why else "")
    return f"{said.removesuffix('.')}. {RIGHT}."
