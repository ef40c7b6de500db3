"""Errors of a table's description.

IngestionError
└── SpecError         the caller must correct the description; lists all its problems
    └── CannotAlter   the table in ClickHouse can't be altered to match the description
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ingestion.errors import IngestionError


@dataclass(frozen=True, slots=True)
class SpecProblem:
    """One problem of a description.

    ``column``: the column's name, or None for the table itself; ``field``: which field of it is
    wrong, such as ``type``.
    """

    column: str | None
    field: str
    message: str

    def __str__(self) -> str:
        where = f"Column {self.column}, {self.field}" if self.column else self.field
        return f"{where}: {self.message}"


class SpecError(IngestionError):
    """A table can't be created as described; ``problems`` has all reasons."""

    def __init__(self, problems: Sequence[SpecProblem]) -> None:
        super().__init__(" ".join(map(str, problems)))
        self.problems = tuple(problems)


class CannotAlter(SpecError):
    """The table in ClickHouse can't be altered to match the description."""
