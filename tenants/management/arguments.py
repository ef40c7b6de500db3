"""Argument types of management commands."""

from __future__ import annotations

from datetime import UTC, datetime


def moment(text: str) -> datetime:
    """Parse an ISO 8601 time, which is UTC if it has no zone. Raises ValueError."""
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
