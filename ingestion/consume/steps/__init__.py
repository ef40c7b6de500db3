"""The steps of a slice's turn, one module each; ``loop.STEPS`` shows their order."""

from __future__ import annotations

from typing import Protocol

from ingestion.consume.state import SliceState


class Step(Protocol):
    """A module of this folder."""

    def run(self, state: SliceState, now: float) -> None:
        """Do what is due at ``now``, in seconds of the slice's clock."""
