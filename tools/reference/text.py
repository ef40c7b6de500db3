"""Writes the Markdown of the pages."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def code(text: object) -> str:
    return f"`{text}`"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell(part) for part in line) + " |" for line in lines)


def cell(text: str) -> str:
    """A cell of a table, on one line. Bars are escaped: they would end the cell."""
    return " ".join(shown(text).replace("|", "\\|").split())


def shown(text: str) -> str:
    """Text with ``<`` escaped outside backticks, so that Markdown does not read an HTML tag."""
    parts = text.split("`")
    return "`".join(
        part if place % 2 else part.replace("<", "&lt;") for place, part in enumerate(parts)
    )


def plain(text: str) -> str:
    """Prose from a docstring as Markdown: one backtick instead of two, without line breaks."""
    return " ".join(text.replace("``", "`").split())


def sentence(text: str) -> str:
    """Prose that begins with a capital letter and ends with a full stop."""
    text = plain(text)
    first = text.split(" ", 1)[0]
    start = text[:1].upper() if first.isalpha() else text[:1]
    return start + text[1:] + ("" if text.endswith((".", "?", "!", ":")) else ".")
