"""Step: after each heartbeat, counts and closes the batches that are acknowledged to the broker."""

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
    """Settle, and pause sources that are beyond their quarantine limit."""
    if not state.is_settle_due:
        return
    state.is_settle_due = False
    settle(state)
    _pause_beyond_limit(state)
    state.schedule_heartbeat()


def settle(state: SliceState) -> None:
    """Count each source's batches in its table; close all of them in one Postgres statement."""
    counted: dict[int, Mapping[uuid.UUID, BatchStats]] = {}

    def count(reader: SourceReader) -> None:
        counted[reader.source.pk] = reader.counted()

    for reader in list(state.readers):
        state.guarded(reader, partial(count, reader))
    books.close({token: stats for batches in counted.values() for token, stats in batches.items()})
    for reader in state.readers:
        reader.settled(counted.get(reader.source.pk, {}))
    if any(counted.values()):
        _hold_over_plan(state)


def _hold_over_plan(state: SliceState) -> None:
    """Hold tenants that have used up their plan's day; the next heartbeat stops their readers."""
    planned = {reader.tenant_id for reader in state.readers if reader.source.tenant.plan_id}
    if planned:
        holds.refresh(planned)


def _pause_beyond_limit(state: SliceState) -> None:
    """Pause sources beyond their quarantine limit. Asks nothing while all rows fit."""
    suspects = [reader for reader in state.readers if reader.misfits]
    if not suspects:
        return
    paused = quarantine_limit.pause_beyond([reader.source for reader in suspects])
    for reader in suspects:
        reader.misfits = 0
        if reader.source.pk in paused:
            state.leave(reader, None)
