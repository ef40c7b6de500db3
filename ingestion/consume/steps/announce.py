"""Step: batches that are due get their intents in Postgres, before anything of them is inserted."""

from __future__ import annotations

import uuid
from collections.abc import Collection

from ingestion.batches import announce as books
from ingestion.consume.scheduling.due import Due, due_batches
from ingestion.consume.scheduling.grouping import TOGETHER
from ingestion.consume.scheduling.idle_strategy import MANY
from ingestion.consume.scheduling.selection import Group
from ingestion.consume.state import SliceState
from ingestion.consume.steps.poll import freshen


def run(state: SliceState, now: float) -> None:
    """Choose by the tenants' shares what is inserted next, cut it off its buffers, announce it."""
    groups = state.chooser.choose(state.readers, _due(state, now), state.pool.room)
    if len(state.readers) >= MANY and not state.is_draining:
        freshen(state, [one for group in groups if group.is_shared for one in group.members])
        for group in groups:
            group.drop_unfit()
    for group in groups:
        for member in group.members:
            member.buffer.cut(state.policy.rows, state.policy.bytes, past_views=group.is_shared)
    intents = {
        member.buffer.lease: member.batch.intent for group in groups for member in group.members
    }
    announced = books.announce(state.owner, intents)
    for group in groups:
        _drop_refused(state, group, announced)
    state.announced = groups
    state.progress += len(announced)


def _due(state: SliceState, now: float) -> Due:
    """What is to be inserted, and what may go along with it."""
    if not state.pool.room:
        return Due([], [])
    if state.is_draining:
        waiting = [
            one for one in state.candidates() if one.buffer.waiting and not one.buffer.under_way
        ]
        return Due(waiting, [])
    due = due_batches(state.readers, state.policy, now, state.pool.small_cost)
    if due.batches or (state.pool.is_idle() and len(due.company) >= TOGETHER):
        return due
    return Due([], [])


def _drop_refused(state: SliceState, group: Group, announced: Collection[uuid.UUID]) -> None:
    """What Postgres has not announced has lost its lease, or its table has changed."""
    refused = [one for one in group.members if one.batch.intent.token not in announced]
    group.members = [one for one in group.members if one.batch.intent.token in announced]
    for member in refused:
        state.drop_batch(member, None)
