"""What can go wrong with a backfill.

IngestionError
└── BackfillError          the engineer must act; the text says on what
    ├── FileUnreadable     the file is not there, cut short, or not of its format
    └── MostlyMisfits      so much of it does not fit that it was stopped
"""

from __future__ import annotations

from ingestion.errors import IngestionError


class BackfillError(IngestionError):
    """A backfill can't begin, or can't go on."""


class FileUnreadable(BackfillError):
    """The file can't be read as what its name says."""


class MostlyMisfits(BackfillError):
    """More of the rows than the limit did not fit, or would not."""
