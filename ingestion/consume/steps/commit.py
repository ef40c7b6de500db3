"""Step: acknowledges to the broker what is in the table and in Postgres, so that it may forget it.

Nothing is acknowledged before Postgres has it: after a crash the broker must still have the rest.
"""

from __future__ import annotations

from ingestion.consume.state import SliceState
from ingestion.errors import ConnectorError


def run(state: SliceState, now: float) -> None:
    """Acknowledge finished batches; close readers that have left and wait for nothing more."""
    uncommitted, state.uncommitted = state.uncommitted, []
    for reader in uncommitted:
        state.guarded(reader, reader.commit)
    try:
        state.connector.commit()
    except ConnectorError as error:
        state.leave_all(state.readers, error)
    state.release()
