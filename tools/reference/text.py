"""Markdown that a page consists of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def code(text: object) -> str:
    return f"`{text}`"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; a bar within a cell would end it."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell(part) for part in line) + " |" for line in lines)


def cell(text: str) -> str:
    return " ".join(shown(text).replace("|", "\\|").split())


def shown(text: str) -> str:
    """Text in which what looks like a tag of HTML is shown, as it is within backticks."""
    parts = text.split("`")
    return "`".join(
        part if place % 2 else part.replace("<", "&lt;") for place, part in enumerate(parts)
    )


def plain(text: str) -> str:
    """Prose from code: docstrings have two backticks where Markdown has one."""
    return " ".join(text.replace("``", "`").split())


def sentence(text: str) -> str:
    """Prose with a capital and a full stop."""
    text = plain(text)
    first = text.split(" ", 1)[0]
    start = text[:1].upper() if first.isalpha() else text[:1]
    return start + text[1:] + ("" if text.endswith((".", "?", "!", ":")) else ".")
