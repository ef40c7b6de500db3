"""How long a slice waits when no messages come: policy only."""

from __future__ import annotations

import pytest

from ingestion.consume.scheduling import idle_strategy
from ingestion.consume.scheduling.idle_strategy import BUSY, MANY, NAP


@pytest.mark.parametrize(
    ("sources", "busy", "turn", "seconds"),
    [
        (1, 1, 0.0, NAP),
        (10, 0, 0.0, NAP),
        # However long a turn takes, a few sources never wait longer than this.
        (10, 10, 5.0, NAP),
        (1_000, 1_000, 0.0, 0.5),
        (1_000, 1, 0.0, NAP),
        (1_000, 1, 0.008, 0.08),
        (1_000, 1, 5.0, 0.5),
    ],
)
def test_a_nap_goes_by_busy_sources_and_by_what_a_turn_takes(
    sources: int, busy: int, turn: float, seconds: float
) -> None:
    assert idle_strategy.nap(sources, busy, turn) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("sources", "busy", "turn", "seconds"),
    [
        (1, 1, 0.0, 0.0005),
        (MANY - 1, MANY - 1, 5.0, 0.0245),
        (1_000, 1_000, 0.0, 2.0),
        (1_000, 1_000, 5.0, 2.0),
        (1_000, 2, 0.0, 0.001),
        (1_000, 2, 0.008, 0.08),
    ],
)
def test_a_pause_between_pulls_does_too(
    sources: int, busy: int, turn: float, seconds: float
) -> None:
    assert idle_strategy.pause(sources, busy, turn) == pytest.approx(seconds)


def test_a_source_is_busy_for_a_while_after_its_last_message() -> None:
    assert not idle_strategy.is_busy(None, 100.0)
    assert idle_strategy.is_busy(100.0, 100.0 + BUSY - 0.1)
    assert not idle_strategy.is_busy(100.0, 100.0 + BUSY)
