"""What can go wrong with configuration files.

ConfigurationError    the file's author must act; it has all mistakes, each with its place
└── NotYetMade        later: all is saved, and ClickHouse went away before it had made all
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class FilePosition:
    """Where in which file; lines and columns count from 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True)
class Mistake:
    place: FilePosition
    message: str

    def __str__(self) -> str:
        return f"{self.place}: {self.message}"


class ConfigurationError(Exception):
    """Files can't be applied as they are."""

    def __init__(self, mistakes: Sequence[Mistake]) -> None:
        # What is said first of a place is the cause of what is said after it.
        first: dict[FilePosition, Mistake] = {}
        for one in mistakes:
            first.setdefault(one.place, one)
        self.mistakes = tuple(first[place] for place in sorted(first))
        super().__init__("\n".join(str(one) for one in self.mistakes))


class NotYetMade(ConfigurationError):
    """Everything is saved; tables or warehouses are made when ClickHouse answers again."""
