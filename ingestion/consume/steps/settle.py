"""Step: after each heartbeat, what the broker knows to be done is counted and closed."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from functools import partial

from ingestion.batches import settle as books
from ingestion.batches.batch import BatchStats
from ingestion.consume.source_reader import SourceReader
from ingestion.consume.state import SliceState
from ingestion.monitoring import quarantine_limit
from tenants.plans import holds


def run(state: SliceState, now: float) -> None:
    """Settle, and let go of sources whose quarantine would fill."""
    if not state.is_settle_due:
        return
    state.is_settle_due = False
    settle(state)
    _pause_beyond_limit(state)
    state.schedule_heartbeat()


def settle(state: SliceState) -> None:
    """Count and close what is done: each table is asked by itself, all is closed at once."""
    counted: dict[int, Mapping[uuid.UUID, BatchStats]] = {}

    def count(reader: SourceReader) -> None:
        counted[reader.source.pk] = reader.counted()

    for reader in list(state.readers):
        state.guarded(reader, partial(count, reader))
    books.close({token: stats for found in counted.values() for token, stats in found.items()})
    for reader in state.readers:
        reader.settled(counted.get(reader.source.pk, {}))
    if any(counted.values()):
        _hold_over_plan(state)


def _hold_over_plan(state: SliceState) -> None:
    """Hold tenants that reached their plan's day; the next heartbeat lets go of them."""
    planned = {reader.tenant_id for reader in state.readers if reader.source.tenant.plan_id}
    if planned:
        holds.refresh(planned)


def _pause_beyond_limit(state: SliceState) -> None:
    """Nothing is asked while all fits."""
    suspects = [reader for reader in state.readers if reader.misfits]
    if not suspects:
        return
    paused = quarantine_limit.pause_beyond([reader.source for reader in suspects])
    for reader in suspects:
        reader.misfits = 0
        if reader.source.pk in paused:
            state.leave(reader, None)
