"""What inference may raise."""

from __future__ import annotations

from ingestion.errors import IngestionError


class NothingToInfer(IngestionError):
    """The sample has no field that a column could read; the message says what it has."""
