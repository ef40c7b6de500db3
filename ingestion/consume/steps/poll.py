"""Step: moves arrived messages into the buffers of tenants that hold less than their share."""

from __future__ import annotations

from collections.abc import Collection
from functools import partial

from ingestion.consume.scheduling.batch_policy import SMALL_ROWS
from ingestion.consume.scheduling.candidate import Candidate
from ingestion.consume.scheduling.due import readers_below_share
from ingestion.consume.scheduling.idle_strategy import MANY
from ingestion.consume.source_reader import SourceReader
from ingestion.consume.state import SliceState
from ingestion.errors import ConnectorError

#: The most messages that one poll takes from one reader, before the next reader is polled.
POLL_ROWS = 10_000
#: While all inserts are under way, the pause after a poll is longer by this many pauses.
BUSY_PATIENCE = 3


def run(state: SliceState, now: float) -> None:
    """Poll each reader once, for up to POLL_ROWS messages, unless the last poll is too recent."""
    state.has_looked = False
    if now < state.poll_at + _patience(state, now):
        return
    hungry = readers_below_share(state.readers, state.policy)
    if not hungry or not _receive(state):
        return
    state.has_looked = True
    polled = sum(_poll(state, reader, POLL_ROWS) for reader in hungry)
    state.progress += polled
    if 0 < polled < POLL_ROWS:
        now = state.clock()
        state.poll_at = now + state.poll_pause(now)


def freshen(state: SliceState, candidates: Collection[Candidate]) -> None:
    """Poll candidates just before their insert, because many sources are polled only rarely."""
    hungry = {id(reader) for reader in readers_below_share(state.readers, state.policy)}
    if not candidates or not _receive(state):
        return
    for candidate in candidates:
        if id(candidate.reader) in hungry:
            _poll(state, candidate.reader, SMALL_ROWS)


def _patience(state: SliceState, now: float) -> float:
    """Extra seconds between polls while many sources wait for inserts anyway.

    A poll then finds all that came in the meantime as one chunk of each source.
    """
    is_calm = len(state.readers) >= MANY and not state.pool.room
    return BUSY_PATIENCE * state.poll_pause(now) if is_calm else 0.0


def _receive(state: SliceState) -> bool:
    """Let the connector fetch what has arrived; if it fails, all readers leave. True on success."""
    try:
        state.connector.receive(POLL_ROWS)
    except ConnectorError as error:
        state.leave_all(state.readers, error)
        return False
    return True


def _poll(state: SliceState, reader: SourceReader, limit: int) -> int:
    now = state.clock()
    polled = state.guarded(reader, partial(reader.poll, limit, now))
    if polled:
        state.brought_at = now
    return polled
