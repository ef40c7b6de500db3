"""What can go wrong with a backfill.

IngestionError
└── BackfillError          the engineer must act; the text says on what
    └── FileUnreadable     the file is not there, cut short, or not of its format
"""

from __future__ import annotations

from ingestion.errors import IngestionError


class BackfillError(IngestionError):
    """A backfill can't begin, or can't go on."""


class FileUnreadable(BackfillError):
    """The file can't be read as what its name says."""
