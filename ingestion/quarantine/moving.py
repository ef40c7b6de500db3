"""Messages that a replay is moving: both the table and the quarantine may have them meanwhile."""

from __future__ import annotations

from collections.abc import Sequence

from ingestion.models import QuarantineChunk
from ingestion.quarantine.messages import keys_of, naming


def conditions(table_id: int) -> tuple[str, str]:
    """SQL conditions for table and quarantine under which each message counts once.

    A message is in quarantine until its chunk has been counted, and no longer from then on. Both
    are empty while no chunk is open.
    """
    chunks = QuarantineChunk.across_tenants.filter(run__table=table_id, done_at=None)
    still_there = [chunk for chunk in chunks if chunk.landed_at is None]
    counted = [chunk for chunk in chunks if chunk.landed_at is not None]
    return _without(still_there), _without(counted)


def _without(chunks: Sequence[QuarantineChunk]) -> str:
    return "".join(f" AND NOT ({naming(keys_of(chunk.keys))})" for chunk in chunks if chunk.keys)
