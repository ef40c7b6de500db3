"""Marked JSON, which keeps the digits of numbers that the engine's parser would change.

The parser reads a number with a point or an exponent as a double, which keeps only 15 digits for
certain. It reads an integer beyond 64 bits as if it were in quotes. If a message may have such a
number, its JSON is *marked* and parsed again: ``1.50`` becomes ``"#1.50"`` and ``"a"`` becomes
``"a#"``, keys too. So each number keeps its digits, and no number looks like a text. This is slow,
and rarely needed.
"""

from __future__ import annotations

from collections.abc import Sequence

from tenants.warehouse.quoting import string

#: More digits than a double keeps (dots count too), or so small that it is read as 0.
_LONG = r"[0-9][0-9.]{15}|[0-9][eE]-0*[0-9]{3,}[,}\]\s]"
#: The engine would rewrite it as the integer -0.
_NEGATIVE_ZERO = r"-0(\.0+)?([eE][+-]?[0-9]+)?[,}\]\s]"
#: The engine copies 1e20 as an integer beyond 64 bits, and then reads that as a text.
_EXPONENT = r"[:,\[\s]-?[0-9.]+[eE][+]?[0-9]+[,}\]\s]"
#: The shortest integer beyond 64 bits is -9223372036854775809.
_BIG = string(f"[0-9]{{19}}|{_EXPONENT}")
_FLOAT = string(f"[0-9]{{19}}|{_NEGATIVE_ZERO}|{_EXPONENT}")
_INEXACT = string(_LONG)
_CHANGED = string(f"{_LONG}|{_EXPONENT}")
NUMBER = "-?[0-9][-+.eE0-9]*"
_TEXT_OR_NUMBER = string(rf'"((?:[^"\\]|\\.)*)"|({NUMBER})')
#: At the end of every text and key.
MARK = "#"
_MARKED = string(r'"\1#\2"')


def may_be_inexact(raw: str) -> str:
    """Whether a message has a number whose digits a double may lose; 0 or 1."""
    return f"match({raw}, {_INEXACT})"


def may_be_changed(raw: str) -> str:
    """Whether a message has such a number, or one that is another in a copied part; 0 or 1."""
    return f"match({raw}, {_CHANGED})"


def may_be_big(raw: str) -> str:
    """Whether a message has a number that a copied part may have as a text; 0 or 1."""
    return f"match({raw}, {_BIG})"


def may_be_odd_float(raw: str) -> str:
    """Whether a message has a float that is lost unless its digits are kept; 0 or 1."""
    return f"match({raw}, {_FLOAT})"


def marked(raw: str) -> str:
    """Valid JSON, with each number and text marked."""
    return f"replaceRegexpAll({raw}, {_TEXT_OR_NUMBER}, {_MARKED})"


def path(keys: Sequence[str]) -> str:
    """The arguments that lead to a value in marked JSON."""
    return ", ".join(string(f"{key}{MARK}") for key in keys)


def text_of(found: str) -> str:
    """The text without its mark; NULL for a number."""
    return f"if(endsWith({found}, '#'), substring({found}, 1, length({found}) - 1), NULL)"


def digits_of(found: str) -> str:
    """The digits of a number without its mark, 0 for the integer -0; NULL for a text."""
    return f"if(endsWith({found}, '#'), NULL, if({found} = '#-0', '0', substring({found}, 2)))"
