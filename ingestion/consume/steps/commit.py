"""Step: the broker is told what is in the table and noted in Postgres. It may forget it then."""

from __future__ import annotations

from ingestion.consume.state import SliceState
from ingestion.errors import ConnectorError


def run(state: SliceState, now: float) -> None:
    """Acknowledge what was finished; readers that have left and wait for nothing more let go."""
    uncommitted, state.uncommitted = state.uncommitted, []
    for reader in uncommitted:
        state.guarded(reader, reader.commit)
    try:
        state.connector.commit()
    except ConnectorError as error:
        state.leave_all(state.readers, error)
    state.release()
