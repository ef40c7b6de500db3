"""Strict, exact JSON: numbers keep all their digits; repeated members and deep nesting are errors.

Python's own reader turns every number with a point or an exponent into a double, and silently keeps
the last of two members with the same name.
"""

from __future__ import annotations

import json
import math
from decimal import Decimal, InvalidOperation
from typing import Any

#: The deepest nesting of arrays and objects. Python's own limit differs between releases, and code
#: that walks the value afterwards (``storable``, a database driver) reaches its limit earlier.
MAX_DEPTH = 100


class Doubled(ValueError):
    """An object has the member ``name`` twice."""

    def __init__(self, name: str) -> None:
        super().__init__(f"the member {name!r} occurs twice")
        self.name = name


def read(text: str | bytes) -> Any:
    """Parse ``text``; numbers with a point or an exponent become Decimals.

    Raises Doubled for a repeated member, and ValueError, with the reason, for text that is not
    JSON or not UTF-8, has NaN or an infinity, or is nested more than MAX_DEPTH levels deep.
    """
    if isinstance(text, bytes):
        text = _decoded(text)
    try:
        value = json.loads(
            text, parse_float=_number, parse_constant=_refuse, object_pairs_hook=_members
        )
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    # Counting brackets is cheaper than walking the value, and most texts have too few to be deep.
    if text.count("[") + text.count("{") > MAX_DEPTH and _depth(value) > MAX_DEPTH:
        raise ValueError(_TOO_DEEP)
    return value


_TOO_DEEP = f"it is nested more than {MAX_DEPTH} levels deep"


def _decoded(text: bytes) -> str:
    try:
        return text.decode("utf-8")
    except UnicodeDecodeError as error:
        msg = f"it is not UTF-8 at byte {error.start + 1}"
        raise ValueError(msg) from None


def _depth(value: Any) -> int:
    """The levels of arrays and objects in ``value``, counted without recursion."""
    depth, level = 0, [value]
    while level := [node for node in level if isinstance(node, list | dict)]:
        depth += 1
        level = [
            child for node in level for child in (node.values() if isinstance(node, dict) else node)
        ]
    return depth


def _number(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:
        msg = f"the number {text[:60]} is out of range"
        raise ValueError(msg) from None


def _refuse(constant: str) -> Any:
    msg = f"{constant} is not JSON"
    raise ValueError(msg)


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise Doubled(name[:60])
            seen.add(name)
    return members


def storable(value: Any) -> Any:
    """``value`` for readers and databases that turn numbers into doubles.

    A number that a double can't hold exactly becomes text with its digits.
    """
    if isinstance(value, Decimal):
        double = float(value)
        is_exact = math.isfinite(double) and Decimal(repr(double)) == value
        return double if is_exact else str(value)
    if isinstance(value, list):
        return [storable(item) for item in value]
    if isinstance(value, dict):
        return {name: storable(item) for name, item in value.items()}
    return value


class Decoder(json.JSONDecoder):
    """A decoder for form and model fields; it returns ``storable`` values."""

    def decode(self, s: str, *_: Any) -> Any:
        try:
            return storable(read(s))
        except ValueError as error:
            raise json.JSONDecodeError(str(error), s, 0) from None
