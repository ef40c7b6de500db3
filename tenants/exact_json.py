"""JSON as it was written: numbers with all their digits, no member twice, and not too deep.

Python's own reader makes a double of every number with a point or an exponent, and keeps the last
of two members of one name, without a word.
"""

from __future__ import annotations

import json
import math
from decimal import Decimal, InvalidOperation
from typing import Any

#: Arrays and objects within each other. Python's own bound differs from release to release, and
#: what reads the value after it (``storable``, a database's driver) has less room.
MAX_DEPTH = 100


class Doubled(ValueError):
    """A member stands there twice. ``name``: which."""

    def __init__(self, name: str) -> None:
        super().__init__(f"the member {name!r} stands there twice")
        self.name = name


def read(text: str | bytes) -> Any:
    """The value of ``text``; numbers with a point or an exponent are Decimals.

    Raises ValueError, which says why: no JSON, not UTF-8, NaN or an infinity, more than MAX_DEPTH
    levels; or Doubled.
    """
    if isinstance(text, bytes):
        text = _decoded(text)
    try:
        value = json.loads(
            text, parse_float=_number, parse_constant=_refuse, object_pairs_hook=_members
        )
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    # Most texts have too few brackets to be deep, which costs less to see than a walk.
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
    """How many levels of arrays and objects ``value`` has; level by level, so without recursion."""
    depth, level = 0, [value]
    while level := [one for one in level if isinstance(one, list | dict)]:
        depth += 1
        level = [
            inner for one in level for inner in (one.values() if isinstance(one, dict) else one)
        ]
    return depth


def _number(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:
        msg = f"the number {text[:60]} is beyond all bounds"
        raise ValueError(msg) from None


def _refuse(constant: str) -> Any:
    msg = f"{constant} is no JSON"
    raise ValueError(msg)


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise Doubled(twice[:60])
    return found


def storable(value: Any) -> Any:
    """``value`` for a reader, or a database, that makes doubles of numbers.

    A number that a double can't hold becomes a text of its digits.
    """
    if isinstance(value, Decimal):
        double = float(value)
        is_exact = math.isfinite(double) and Decimal(repr(double)) == value
        return double if is_exact else str(value)
    if isinstance(value, list):
        return [storable(one) for one in value]
    if isinstance(value, dict):
        return {name: storable(one) for name, one in value.items()}
    return value


class Decoder(json.JSONDecoder):
    """For fields of forms and of models: what is read is ``storable``."""

    def decode(self, s: str, *_: Any) -> Any:
        try:
            return storable(read(s))
        except ValueError as error:
            raise json.JSONDecodeError(str(error), s, 0) from None
