"""Step: after a turn that has brought nothing the slice waits, for messages or for an insert."""

from __future__ import annotations

from ingestion.consume.scheduling import idle_strategy
from ingestion.consume.scheduling.idle_strategy import NAP, REST, STEP
from ingestion.consume.state import SliceState
from ingestion.errors import ConnectorError

#: Seconds that a slice whose time is over waits for an insert to end.
DRAIN_WAIT = 1.0


def run(state: SliceState, now: float) -> None:
    """Rest if there is nothing else to do; else nap, or until an insert ends."""
    if state.is_draining:
        state.woken.wait(NAP if state.pool.is_idle() else DRAIN_WAIT)
        return
    if state.progress:
        state.was_woken = False
        return
    state.idle_turn_seconds = now - state.turn_began_at
    if not state.readers:
        return
    # What woke it and brought nothing, such as the broker's heartbeat, must not do so for ever.
    if state.was_woken or not state.has_looked or state.is_holding():
        state.was_woken = False
        busy = state.busy_sources(now)
        state.woken.wait(idle_strategy.nap(len(state.readers), busy, state.idle_turn_seconds))
    else:
        state.was_woken = _rest(state, now)


def _rest(state: SliceState, now: float) -> bool:
    """Wait for the connector, at most until the next heartbeat; whether something has come."""
    until = min(now + REST, state.heartbeat_at, state.ends_at)
    has_come = False
    try:
        while not has_come and (left := until - state.clock()) > 0 and not state.should_stop():
            has_come = state.connector.wait(min(left, STEP))
    except ConnectorError as error:
        state.leave_all(state.readers, error)
    now = state.clock()
    for reader in state.readers:
        reader.polled_at = now
    return has_come
