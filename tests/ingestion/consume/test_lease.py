"""Heartbeats: seldom where each takes long, and often enough for the lease in any case."""

from __future__ import annotations

from typing import Any

import pytest

from ingestion.leases import lease


@pytest.mark.parametrize(
    ("took", "seconds", "pause"),
    [
        (0.0, 30.0, lease.BEAT),
        (0.1, 30.0, 2.0),
        (9.0, 30.0, lease.LONGEST_BEAT),
        (9.0, 12.0, 2.0),
        (9.0, 2.0, lease.BEAT),
    ],
)
def test_a_heartbeat_that_takes_long_comes_less_often(
    settings: Any, took: float, seconds: float, pause: float
) -> None:
    settings.MILLRACE_LEASE_SECONDS = seconds
    assert lease.pause(took) == pytest.approx(pause)
