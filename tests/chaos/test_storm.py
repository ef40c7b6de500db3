"""Faults at random, until every event is counted.

CHAOS_FAULTS says how many, CHAOS_SEED in which order, CHAOS_KINDS (with commas) of which kinds.
"""

from __future__ import annotations

import os
import secrets
from typing import Any

import pytest

from tests.chaos.harness.grounds import grounds
from tests.chaos.harness.storm import Storm

pytestmark = [pytest.mark.chaos, pytest.mark.long, pytest.mark.timeout(3600)]
FAULTS = int(os.environ.get("CHAOS_FAULTS", "40"))
SEED = int(os.environ.get("CHAOS_SEED", "0")) or secrets.randbelow(2**31) + 1
KINDS = [one for one in os.environ.get("CHAOS_KINDS", "").split(",") if one]


def test_every_event_counts_once_whatever_fails(fresh_installation: Any) -> None:
    with grounds(fresh_installation) as made:
        report = Storm(made, SEED, KINDS).rage(FAULTS)
        print(report)  # noqa: T201 - what the run is for
        assert report.tried.total() == FAULTS
        assert report.is_good
