"""The cache is killed, and comes back: nobody is refused for it, nothing is lost, limits return."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from tenants.plans import line
from tenants.plans.admission import OverLimit, admit, take_in
from tenants.plans.allowance import Allowance, PlanLimits, Used

pytestmark = [pytest.mark.chaos, pytest.mark.slow]


class Called:
    key_id, tenant_id = 1, 77


@pytest.fixture
def cache(fresh_installation: Any, settings: Any) -> Iterator[Any]:
    """A Valkey of its own, to which this process turns."""
    fresh_installation.start("valkey")
    settings.CACHES = {
        "default": settings.CACHES["default"] | {"LOCATION": fresh_installation.urls["CACHE_URL"]}
    }
    line.forget()
    line._away_until, line._said_at = 0.0, -line.SAID_EVERY
    yield fresh_installation
    line.forget()
    line._away_until = 0.0


def granted(**used: int) -> Allowance:
    limits = PlanLimits(requests_a_minute=1, concurrent_queries=1, events_a_day=10)
    return Allowance(77, "basic", limits, datetime.now(UTC).date(), Used(**used))


def test_calls_are_let_in_while_the_cache_is_away_and_limited_when_it_is_back(
    cache: Any, caplog: pytest.LogCaptureFixture
) -> None:
    slot = admit(Called(), granted(), query=True)
    with pytest.raises(OverLimit):
        admit(Called(), granted(), query=True)
    cache.stack.kill("valkey")
    with caplog.at_level(logging.WARNING, "tenants.plans.line"):
        began = time.monotonic()
        for _ in range(200):
            assert admit(Called(), granted(), query=True).headers == {}
        slot.give_back()
        assert time.monotonic() - began < 30
        line._away_until = 0.0
        admit(Called(), granted())
    assert len([one for one in caplog.records if "does not answer" in one.message]) == 1
    take_in(granted(events=9), 1, 10)
    with pytest.raises(OverLimit):
        take_in(granted(events=9), 2, 20)
    cache.start("valkey")
    line._away_until = 0.0
    refused = 0
    for _ in range(3):
        try:
            admit(Called(), granted())
        except OverLimit:
            refused += 1
    assert refused >= 2
