"""Step: hands announced batches to the threads that insert them."""

from __future__ import annotations

from ingestion.consume.state import SliceState


def run(state: SliceState, now: float) -> None:
    """Submit each group as one insert. A group without batches returns its permit."""
    announced, state.announced = state.announced, []
    for group in announced:
        if group.candidates:
            state.pool.submit(group.candidates, group.ended)
        else:
            group.ended()
