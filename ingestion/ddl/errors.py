"""What can be wrong with a table's description.

IngestionError
└── SpecError         somebody must mend the description; it has all its problems
    └── CannotAlter   the table in ClickHouse can't become what is described
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ingestion.errors import IngestionError


@dataclass(frozen=True, slots=True)
class SpecProblem:
    """``column``: its name, or None for the table; ``field``: of the two, such as ``type``."""

    column: str | None
    field: str
    message: str

    def __str__(self) -> str:
        where = f"Column {self.column}, {self.field}" if self.column else self.field
        return f"{where}: {self.message}"


class SpecError(IngestionError):
    """A table can't be made as described."""

    def __init__(self, problems: Sequence[SpecProblem]) -> None:
        super().__init__(" ".join(map(str, problems)))
        self.problems = tuple(problems)


class CannotAlter(SpecError):
    """What stands in ClickHouse can't be altered to what is described."""
