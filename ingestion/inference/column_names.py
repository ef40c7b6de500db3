"""Names of columns, by a rule from the keys of their path."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence

#: The most characters of a column's name.
_LENGTH = 63


def named(paths: Iterable[Sequence[str]]) -> list[str]:
    """A name for each path: its keys joined by underscores; of two equal ones, the later has _2."""
    taken: set[str] = set()
    names = []
    for keys in paths:
        base = _plain("_".join(keys))
        name, number = base, 1
        while name in taken:
            number += 1
            end = f"_{number}"
            name = base[: _LENGTH - len(end)] + end
        taken.add(name)
        names.append(name)
    return names


def _plain(text: str) -> str:
    """The text without accents; anything but letters, digits and underscores is an underscore."""
    ascii_only = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    plain = re.sub(r"[^A-Za-z0-9_]+", "_", ascii_only).strip("_")
    if not plain or not plain[0].isalpha():
        plain = f"field_{plain}".rstrip("_")
    return plain[:_LENGTH].rstrip("_")
