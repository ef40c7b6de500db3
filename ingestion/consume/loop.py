"""A slice: some seconds of consuming one connection, for as many sources as its leases cover.

A batch passes the steps in this order:

    poll        read messages from the broker into buffers
    announce    write the batch's intent to Postgres
    insert      insert the batch into ClickHouse, in a thread
    finish      note in Postgres that the batch landed, and move the position
    commit      acknowledge the batch to the broker, after Postgres has it
    settle      count the batch's rows, and close it

A turn begins with the inserts that have ended since the last turn, to make room for new batches.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection

from django.conf import settings

from ingestion.consume import shutdown
from ingestion.consume.open import open_slice, open_source_readers
from ingestion.consume.scheduling.batch_policy import BatchPolicy, from_settings
from ingestion.consume.state import SliceState
from ingestion.consume.steps import (
    Step,
    announce,
    commit,
    finish,
    heartbeat,
    insert,
    poll,
    settle,
    wait,
)
from ingestion.models import Source

STEPS: tuple[Step, ...] = (finish, commit, heartbeat, settle, poll, announce, insert, wait)
#: The steps when the slice's time is over: they land what was read, and read nothing more.
LAST_STEPS: tuple[Step, ...] = (finish, commit, heartbeat, settle, announce, insert, wait)
#: Seconds without any message after which the slice makes room for other connections.
IDLE = 5.0


class Slice:
    """Consumes one connection: ``Slice(connection_id).run()``.

    ``clock`` counts seconds and never goes back. When the slice's time is over, or no message has
    come for IDLE seconds, ``may_go_on`` decides whether the slice continues for another
    ``seconds``. By default it ends.
    """

    def __init__(
        self,
        connection_id: int | None,
        *,
        seconds: float | None = None,
        policy: BatchPolicy | None = None,
        should_stop: Callable[[], bool] = shutdown.is_stopping,
        may_go_on: Callable[[Collection[Source]], bool] = lambda _: False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.connection_id = connection_id
        #: Messages that have landed, including misfits.
        self.rows = 0
        self._seconds = settings.MILLRACE_SLICE_SECONDS if seconds is None else seconds
        self._policy = policy or from_settings()
        self._should_stop, self._may_go_on, self._clock = should_stop, may_go_on, clock

    def run(self) -> bool:
        """Consume until the slice's time is over; returns whether another slice should follow.

        Raises what Postgres or a bug raises, and Connection.DoesNotExist.
        """
        state = open_slice(self.connection_id, self._policy, self._should_stop, self._clock)
        try:
            state.readers = open_source_readers(state.connector, self.connection_id, state.owner)
            state.begin(self._seconds)
            while state.readers and not self._is_over(state):
                take_turn(state, STEPS)
            goes_on = bool(state.readers) and not self._should_stop()
            _drain(state)
        finally:
            self.rows = state.rows
            state.close()
        return goes_on

    def _is_over(self, state: SliceState) -> bool:
        if self._should_stop():
            return True
        now = self._clock()
        if now < state.ends_at and now - state.brought_at <= IDLE:
            return False
        if not self._may_go_on([reader.source for reader in state.readers]):
            return True
        state.ends_at, state.brought_at = now + self._seconds, now
        return False


def take_turn(state: SliceState, steps: Collection[Step]) -> None:
    """Run each step once, with the time at which it begins."""
    state.woken.clear()
    state.turn_began_at, state.progress = state.clock(), 0
    for step in steps:
        step.run(state, state.clock())


def _drain(state: SliceState) -> None:
    """Land what was read, settle it and give the leases back."""
    if state.should_stop():  # no time to land what is not announced: the broker keeps it
        for buffer in state.buffers():
            buffer.discard()
    state.is_draining = True
    while state.is_holding():
        take_turn(state, LAST_STEPS)
    settle.settle(state)
    state.leave_all(state.readers, None)
