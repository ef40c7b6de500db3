"""Reads paths: the steps that lead from a message to a column's value.

A path is the keys of objects joined by dots, such as ``user.country``, or starts with ``$`` and is
a subset of JSONPath (RFC 9535), such as ``$['a key.with a dot'].b`` or ``$.items[*].sku``. What is
neither would be taken for a key that no message has, and an optional column would silently get its
default: so it is refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from enum import Enum
from functools import lru_cache
from typing import TypeAlias


class Each(Enum):
    """``[*]``: every element of an array."""

    EACH = "*"


EACH = Each.EACH
#: A key of an object, the index of an element from 0, or every element.
Segment: TypeAlias = str | int | Each
Segments: TypeAlias = tuple[Segment, ...]
#: The highest index of an element.
_LAST = 999_999

_FIRST = r"(?:[A-Za-z_]|[^\x00-\x7F])"
_NAME = rf"{_FIRST}(?:[A-Za-z0-9_]|[^\x00-\x7F])*"
_ESCAPE = r"[bfnrt/\\]|u[0-9A-Fa-f]{4}"
_SINGLE = rf"'(?:[^'\\\x00-\x1F]|\\(?:'|{_ESCAPE}))*'"
_DOUBLE = rf'"(?:[^"\\\x00-\x1F]|\\(?:"|{_ESCAPE}))*"'
_INDEX = r"0|[1-9][0-9]{0,5}"
_SEGMENT = rf"\.{_NAME}|\[[ \t\n\r]*(?:{_SINGLE}|{_DOUBLE}|{_INDEX}|\*)[ \t\n\r]*\]"
_END = r"(?![\s\S])"
#: Whether a path is JSONPath; ``$set`` is a key.
_IS_JSONPATH = re.compile(rf"\$({_END}|[.\[])")
#: A number or nothing, between blanks. Each blank can be read in one way only: when there were
#: several ways, a path of blanks and colons took forever.
_BOUND = r"\s*(?:(?:-\d*|\d+)\s*)?"
#: What other notations write in brackets.
_BRACKETS = (
    rf"\[(?:{_BOUND}(?::{_BOUND})*|"
    r"""\s*(?:\*|'[^']*'|"[^"]*"|\?.*)\s*)\]"""
)
#: The same pattern is in millrace.schema.json, so it is also one of ECMAScript.
UNREADABLE = (
    rf"^\$(?={_END}|[.\[])(?!(?:{_SEGMENT})+{_END})"
    r"|^(?!\$[.\[])(?:/|[\s\S]*(?:->|(?:^|\.)\*(?:"
    rf"{_END}|\.)|{_BRACKETS}))"
)
_UNREADABLE = re.compile(UNREADABLE)
_STEP = re.compile(_SEGMENT)
_WHOLE_STEP = re.compile(rf"(?:{_SEGMENT})(?={_END}|[.\[])")
_SIGN = re.compile(rf"->|\*|{_BRACKETS}")
RIGHT = (
    "A path is the keys of objects joined by dots, such as user.country, or starts with $, such as "
    "$['user.name'].first, $.items[0].sku or $.items[*].sku"
)


@lru_cache(maxsize=10_000)
def segments(path: str) -> Segments:
    """What leads to the value in the message: keys, and places in arrays.

    What is not readable JSONPath is split at its dots, as it has always been.
    """
    if not _IS_JSONPATH.match(path) or _UNREADABLE.search(path):
        return tuple(path.split("."))
    return tuple(_segment(one[0]) for one in _STEP.finditer(path, 1))


def _segment(written: str) -> Segment:
    if written.startswith("."):
        return written[1:]
    inner = written[1:-1].strip(" \t\n\r")
    if inner == "*":
        return EACH
    return _key(inner) if inner[0] in "'\"" else int(inner)


def _key(literal: str) -> str:
    inner = literal[1:-1]
    if literal.startswith("'"):
        inner = inner.replace(r"\'", "'").replace('"', r"\"")
    key: str = json.loads(f'"{inner}"')
    return key


def shown(segments: Sequence[Segment]) -> str:
    """The path of these segments: keys joined by dots if that can be read, otherwise JSONPath."""
    plain = ".".join(one for one in segments if isinstance(one, str))
    if tuple(plain.split(".")) == tuple(segments) and not _IS_JSONPATH.match(plain):
        return plain
    return jsonpath(segments)


def jsonpath(segments: Sequence[Segment]) -> str:
    return "$" + "".join(map(_written, segments))


def _written(segment: Segment) -> str:
    if segment is EACH:
        return "[*]"
    if isinstance(segment, int):
        return f"[{segment}]"
    key = str(segment)
    if re.fullmatch(_NAME, key):
        return f".{key}"
    escaped = json.dumps(key, ensure_ascii=False)[1:-1].replace(r"\"", '"').replace("'", r"\'")
    return f"['{escaped}']"


def unreadable(path: str) -> str:
    """Why ``path`` would read nothing, and what to write instead; empty if it can be read."""
    if _UNREADABLE.search(path):
        return _no_jsonpath(path) if _IS_JSONPATH.match(path) else _other_notation(path)
    return _impossible(path) if _IS_JSONPATH.match(path) else ""


def remark(path: str) -> str:
    """Why a stored ``path`` may read nothing, for what earlier versions accepted."""
    if _is_of_earlier_version(path):
        plain = ".".join(map(str, segments(path)))
        right = "" if unreadable(plain) else f" If messages have no such key, write {plain}."
        return f"It reads the keys that {plain} meant in an earlier version.{right}"
    return unreadable(path)


def _is_of_earlier_version(path: str) -> bool:
    """Whether its first key looks like JSONPath: migration 0020 writes what was taken for a key."""
    if not _IS_JSONPATH.match(path) or _UNREADABLE.search(path):
        return False
    return _IS_JSONPATH.match(str(segments(path)[0])) is not None


def _impossible(path: str) -> str:
    """Why no message can have a value there. JSON has no lone surrogates."""
    found = segments(path)
    if not isinstance(found[0], str):
        return f"A message is an object, and no array: {path} can't start with an index. {RIGHT}."
    if found.count(EACH) > 1:
        return f"{path} has more than one [*]. A column reads the elements of one array. {RIGHT}."
    for key in found:
        if isinstance(key, str) and re.search("[\0\ud800-\udfff]", key):
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
    return f"{sign} would be read as part of a key. {RIGHT}."


#: What may follow the part of a JSONPath that can be read, and what to say about it.
_REFUSED = (
    (r"\.\.", "write every key on the way, since .. would look for a key at any depth"),
    (r"\[\s*\?", "a path never selects by a condition"),
    (r"\[\s*-?\d*\s*:", "a slice can't be read: write [*] for all elements"),
    (r"\.\*", "write [*] for all elements of an array"),
    (r"\[\s*-\d", "an index counts from 0, and never from the end"),
    (r"\[[^\]]*,", "several keys select several values: add a column for each"),
    (r"\[\s*[0-9]+\s*\]", f"an index is a number from 0 to {_LAST} without zeros before it"),
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
