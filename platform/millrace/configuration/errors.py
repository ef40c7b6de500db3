"""The errors of configuration files, and who must act.

ConfigurationError    the file's author: the error lists all mistakes, each with its position
└── NotYetMade        nobody: all is saved, and the reconciler finishes once ClickHouse answers
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class FilePosition:
    """A position in a file; lines and columns count from 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True)
class Mistake:
    """One mistake in a file, and what would be right."""

    place: FilePosition
    message: str

    def __str__(self) -> str:
        return f"{self.place}: {self.message}"


class ConfigurationError(Exception):
    """The files can't be applied. ``mistakes`` has one mistake per position, in order."""

    def __init__(self, mistakes: Sequence[Mistake]) -> None:
        # The first mistake at a position causes the later ones there, so only that one is kept.
        first: dict[FilePosition, Mistake] = {}
        for mistake in mistakes:
            first.setdefault(mistake.place, mistake)
        self.mistakes = tuple(first[place] for place in sorted(first))
        super().__init__("\n".join(str(mistake) for mistake in self.mistakes))


class NotYetMade(ConfigurationError):
    """Everything is saved; tables or warehouses are created when ClickHouse answers again."""
