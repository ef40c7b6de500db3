"""Step: announced batches are handed to the threads that insert them."""

from __future__ import annotations

from ingestion.consume.state import SliceState


def run(state: SliceState, now: float) -> None:
    """Submit each group as one insert. One of which nothing is left gives its permit back."""
    announced, state.announced = state.announced, []
    for group in announced:
        if group.members:
            state.pool.submit(group.members, group.ended)
        else:
            group.ended()
