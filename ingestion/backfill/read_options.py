"""How a file is read, where its bytes alone do not show it."""

from __future__ import annotations

import codecs
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

#: Version of the rules by which CSV becomes rows. A backfill that was begun under older ones keeps
#: them, because its chunks count rows. 1: an unclosed quote takes what follows into its field, and
#: a quoted empty field is as one without quotes.
RULES = 2
UTF_8 = "utf-8"


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """``delimiter`` and ``encoding``: '' if the file shows it. ``null``: CSV's marker of no value.

    Two runs with the same options make the same rows of the same bytes.
    """

    delimiter: str = ""
    encoding: str = ""
    null: str | None = None
    rules: int = RULES

    @classmethod
    def from_json(cls, stored: Mapping[str, Any] | None) -> Self:
        """The options of a backfill. ``None``: it was begun before options were stored."""
        if stored is None:
            return cls(delimiter=",", encoding=UTF_8, rules=1)
        return cls(**stored)

    def as_json(self) -> dict[str, Any]:
        """The options as they are stored."""
        return asdict(self)

    def differing(self, others: Self) -> dict[str, str]:
        """Those of ``others`` that are set and differ from these."""
        mine = self.named()
        return {name: value for name, value in others.named().items() if mine.get(name) != value}

    def named(self) -> dict[str, str]:
        """The options that are set, by the arguments of the command that set them."""
        values = {"--delimiter": self.delimiter, "--encoding": self.encoding, "--null": self.null}
        return {
            name: value
            for name, value in values.items()
            if value or (name == "--null" and value is not None)
        }


def delimiter(text: str) -> str:
    """The delimiter that an argument means; raises ValueError."""
    meant = {"tab": "\t", "\\t": "\t"}.get(text, text)
    if (
        len(meant) != 1
        or meant in '"\r\n\0'
        or meant.isalnum()
        or not (meant == "\t" or meant.isprintable())
    ):
        msg = f"{text!r} is no delimiter: give one character, such as ';' or '|', or tab."
        raise ValueError(msg)
    return meant


def encoding(text: str) -> str:
    """The encoding's name as Python knows it; raises ValueError."""
    try:
        name = codecs.lookup(text).name
        "".encode(name)
    except (LookupError, ValueError):
        name = ""
    if not name:
        msg = f"{text!r} is no encoding that is known. Examples: utf-8, utf-16, latin-1, cp1252."
        raise ValueError(msg)
    return UTF_8 if name == "utf-8-sig" else name


def null_marker(text: str) -> str:
    """The text that stands for no value; raises ValueError if no field can be that text."""
    if not text.isprintable() or '"' in text:
        msg = (
            f"{text!r} is no marker: it can't contain quotes, line ends, or what is not printable."
        )
        raise ValueError(msg)
    return text
