"""Step: after a turn without progress, waits for messages or for the end of an insert."""

from __future__ import annotations

from ingestion.consume.scheduling import idle_strategy
from ingestion.consume.scheduling.idle_strategy import NAP, REST, STEP
from ingestion.consume.state import SliceState
from ingestion.errors import ConnectorError

#: Seconds that a slice whose time is over waits for an insert to end, before it looks again.
DRAIN_WAIT = 1.0


def run(state: SliceState, now: float) -> None:
    """Rest if the slice holds nothing; otherwise nap, at most until an insert ends."""
    if state.is_draining:
        state.woken.wait(NAP if state.pool.is_idle() else DRAIN_WAIT)
        return
    if state.progress:
        state.was_woken = False
        return
    state.idle_turn_seconds = now - state.turn_began_at
    if not state.readers:
        return
    # A wake-up that brought no message, such as the broker's heartbeat, is followed by a nap:
    # otherwise such wake-ups could keep the slice spinning.
    if state.was_woken or not state.has_looked or state.is_holding():
        state.was_woken = False
        busy = state.busy_sources(now)
        state.woken.wait(idle_strategy.nap(len(state.readers), busy, state.idle_turn_seconds))
    else:
        state.was_woken = _rest(state, now)


def _rest(state: SliceState, now: float) -> bool:
    """Wait for messages, at most until the next heartbeat; returns whether any may have come."""
    until = min(now + REST, state.heartbeat_at, state.ends_at)
    has_come = False
    try:
        while not has_come and (left := until - state.clock()) > 0 and not state.should_stop():
            has_come = state.connector.wait(min(left, STEP))
    except ConnectorError as error:
        state.leave_all(state.readers, error)
    # Nothing arrived up to now, so messages that come next have not waited longer than from here.
    now = state.clock()
    for reader in state.readers:
        reader.polled_at = now
    return has_come
