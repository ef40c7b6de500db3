"""The errors of backfills.

IngestionError
└── BackfillError          the engineer must act; the text says how
    ├── FileUnreadable     the file is missing, truncated, or not of its format
    ├── MostlyMisfits      stopped, because too many rows do not fit
    ├── BackfillBusy       later: another process loads the same content
    └── Paused             nobody: stopped between two chunks, and a later run goes on
"""

from __future__ import annotations

from ingestion.errors import IngestionError


class BackfillError(IngestionError):
    """A backfill can't begin, or can't continue."""


class FileUnreadable(BackfillError):
    """The file can't be read, or not as the format that its name says."""


class MostlyMisfits(BackfillError):
    """More rows than the limit allows did not fit the table, or would not."""


class BackfillBusy(BackfillError):
    """Another process is loading the same content into the table."""


class Paused(BackfillError):
    """The run does not go on now: it was cancelled or waits. What has landed stays."""
