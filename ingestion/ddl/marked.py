"""Numbers as they were written, where the engine's parser has made a double or a text of them.

It reads a number with a point or an exponent as a double, which only 15 digits survive for
certain, and an integer beyond 64 bits as if it stood in quotes. Where a message may hold such a
number its JSON is *marked* and read again: ``1.50`` becomes ``"#1.50"`` and ``"a"`` becomes
``"a#"``, keys too. So each number keeps its digits, and none can be taken for a text. That is slow,
and rarely needed.
"""

from __future__ import annotations

from collections.abc import Sequence

from tenants.warehouse.quoting import string

#: More digits than a double keeps (or dots among them); or so small that it is read as 0.
_LONG = string(r"[0-9][0-9.]{15}|[0-9][eE]-0*[0-9]{3,}[,}\]\s]")
#: The shortest integer beyond 64 bits is -9223372036854775809.
_BIG = string("[0-9]{19}")
#: It would be written anew as the integer -0.
_NEGATIVE_ZERO = r"-0(\.0+)?([eE][+-]?[0-9]+)?[,}\]\s]"
_FLOAT = string(f"[0-9]{{19}}|{_NEGATIVE_ZERO}")
NUMBER = "-?[0-9][-+.eE0-9]*"
_TEXT_OR_NUMBER = string(rf'"((?:[^"\\]|\\.)*)"|({NUMBER})')
_MARKED = string(r'"\1#\2"')


def may_be_inexact(raw: str) -> str:
    """Whether a message has a number whose digits a double may lose; 0 or 1."""
    return f"match({raw}, {_LONG})"


def may_be_big(raw: str) -> str:
    """Whether a message has an integer that may be read as a text; 0 or 1."""
    return f"match({raw}, {_BIG})"


def may_be_odd_float(raw: str) -> str:
    """Whether elements of a message have a float that is lost with its writing; 0 or 1."""
    return f"match({raw}, {_FLOAT})"


def marked(raw: str) -> str:
    """JSON that is valid, with each number and text marked."""
    return f"replaceRegexpAll({raw}, {_TEXT_OR_NUMBER}, {_MARKED})"


def path(keys: Sequence[str]) -> str:
    """Arguments that lead to a value in marked JSON."""
    return ", ".join(string(f"{key}#") for key in keys)


def text_of(found: str) -> str:
    """What a marked text was; NULL for a number."""
    return f"if(endsWith({found}, '#'), substring({found}, 1, length({found}) - 1), NULL)"


def digits_of(found: str) -> str:
    """What a marked number was, -0 being the integer 0; NULL for a text."""
    return f"if(endsWith({found}, '#'), NULL, if({found} = '#-0', '0', substring({found}, 2)))"
