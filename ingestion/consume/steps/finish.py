"""Step: notes in Postgres what has landed and moves the positions, in one statement for all."""

from __future__ import annotations

import uuid
from collections.abc import Collection
from functools import partial

from ingestion.batches import announce
from ingestion.consume.insert_pool import InsertResult
from ingestion.consume.state import SliceState
from ingestion.landing.fence import Fenced
from tenants.warehouse.errors import RunningAlready


def run(state: SliceState, now: float) -> None:
    """Finish the inserts that have ended; stop readers whose batch failed or lost its lease."""
    results = state.pool.collect()
    landed = {
        result.candidate.buffer.lease: result.landed.intent for result in results if result.landed
    }
    finished = announce.finish(state.owner, landed)
    for result in results:
        _note(state, result, finished)


def _note(state: SliceState, result: InsertResult, finished: Collection[uuid.UUID]) -> None:
    landed, candidate = result.landed, result.candidate
    if landed is None or landed.intent.token not in finished:
        # The same insert is running already, or its batch was given up. Only the next owner of the
        # lease does that, so the lease is lost; that is no error of the source.
        is_lost = isinstance(result.error, RunningAlready | Fenced)
        state.drop_batch(candidate, None if is_lost else result.error)
        return
    state.rows += landed.intent.rows
    reader = candidate.reader
    state.guarded(reader, partial(reader.landed, candidate.buffer, landed.stats))
    state.uncommitted.append(reader)
