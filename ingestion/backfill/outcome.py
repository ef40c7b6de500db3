"""What became of a file's rows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import astuple, dataclass


@dataclass(frozen=True)
class Loaded:
    """The numbers of rows that a run has loaded. ``skipped``: rows that earlier runs had loaded.

    ``all_rows`` and ``all_quarantined`` count all runs together. ``backfill``: its key; of several
    files together it means nothing.
    """

    landed: int
    quarantined: int
    skipped: int
    all_rows: int
    all_quarantined: int
    backfill: int = 0

    @property
    def is_bad(self) -> bool:
        """Whether the table has none of the rows, or less than half of them."""
        return self.all_rows == self.all_quarantined or self.all_quarantined * 2 > self.all_rows

    @classmethod
    def sum_of(cls, results: Iterable[Loaded]) -> Loaded:
        """The numbers of several files together."""
        numbers = [astuple(loaded) for loaded in results]
        return cls(*map(sum, zip(*numbers, strict=True)))

    @property
    def share(self) -> str:
        """How many of all rows are in quarantine."""
        if self.all_rows == self.all_quarantined:
            return f"all {self.all_rows:,}"
        return f"{self.all_quarantined:,} of {self.all_rows:,}"

    def summary(self, table: object) -> str:
        """The outcome in a sentence. ``table``: how the table is called."""
        text = (
            f"{self.landed:,} rows landed in {table}, {self.quarantined:,} are in quarantine, "
            f"{self.skipped:,} were skipped because an earlier run had loaded them"
        )
        if before := self.all_quarantined - self.quarantined:
            text += f", {before:,} of them into quarantine"
        if self.all_quarantined:
            return f"{text}. To see what did not fit, and why: manage.py quarantine {table}"
        return f"{text}."
