"""Step: writes the intents of due batches to Postgres, before any of their rows is inserted."""

from __future__ import annotations

import uuid
from collections.abc import Collection

from ingestion.batches import announce as books
from ingestion.consume.scheduling.candidate import Candidate
from ingestion.consume.scheduling.due import Due, due_batches
from ingestion.consume.scheduling.grouping import MAX_GROUP
from ingestion.consume.scheduling.idle_strategy import MANY
from ingestion.consume.scheduling.selection import Group
from ingestion.consume.state import SliceState
from ingestion.consume.steps.poll import freshen


def run(state: SliceState, now: float) -> None:
    """Choose the next batches by the tenants' shares, take them from their buffers, announce them.

    All intents are written in one statement. A group may lose all its batches; it is handed on all
    the same, so that the insert step returns its permit.
    """
    groups = state.chooser.choose(state.readers, _due(state, now), state.pool.room)
    if len(state.readers) >= MANY and not state.is_draining:
        freshen(
            state, [waiting for group in groups if group.is_shared for waiting in group.candidates]
        )
        for group in groups:
            group.drop_unfit()
    rows, size = state.policy.rows, state.policy.bytes
    for group in groups:
        for candidate in group.candidates:
            candidate.buffer.take_batch(rows, size, past_views=group.is_shared)
    intents = {
        candidate.buffer.lease: candidate.batch.intent
        for group in groups
        for candidate in group.candidates
    }
    announced = books.announce(state.owner, intents)
    for group in groups:
        _drop_refused(state, group, announced)
    state.announced = groups
    state.progress += len(announced)


def _due(state: SliceState, now: float) -> Due:
    """The batches to choose from; every waiting one when the slice's time is over."""
    if not state.pool.room:
        return Due([], [])
    if state.is_draining:
        waiting = [
            candidate
            for candidate in state.candidates()
            if candidate.buffer.waiting and not candidate.buffer.under_way
        ]
        return Due(waiting, [])
    due = due_batches(state.readers, state.policy, now, state.pool.small_cost)
    if due.batches or (state.pool.is_idle() and len(due.company) >= MAX_GROUP):
        return due
    return Due([], [])


def _drop_refused(state: SliceState, group: Group, announced: Collection[uuid.UUID]) -> None:
    """Drop batches that Postgres refused: their lease is lost, or their table has changed."""
    accepted: list[Candidate] = []
    refused: list[Candidate] = []
    for candidate in group.candidates:
        is_announced = candidate.batch.intent.token in announced
        (accepted if is_announced else refused).append(candidate)
    group.candidates = accepted
    for candidate in refused:
        state.drop_batch(candidate, None)
