"""A known limit: the insert of a queue's batch that is held up in the network, and arrives late.

RabbitMQ has delivered the messages to another worker by then, and ClickHouse takes both inserts: a
queue has no offsets, so the two batches have tokens of their own. See docs/limits.md.
"""

from __future__ import annotations

import itertools
import signal
import time
from typing import Any

import pytest

from ingestion.connectors.rabbitmq.link import HEARTBEAT
from tests.chaos.harness.case import case
from tests.chaos.harness.grounds import grounds
from tests.chaos.harness.stopped import leases, stopped_in_mid_insert

pytestmark = [pytest.mark.chaos, pytest.mark.long, pytest.mark.timeout(1500)]


# Strict: where it passes, the limit has gone, and the case belongs among the named ones again.
@pytest.mark.xfail(strict=True, raises=AssertionError, reason="docs/limits.md")
def test_a_queues_owner_that_is_stopped_past_the_brokers_heartbeats_wakes(
    fresh_installation: Any,
) -> None:
    with (
        grounds(fresh_installation) as made,
        case(made, "owner of a queue stopped", "classic", "quorum") as one,
    ):
        owner = next(w for w in itertools.cycle(made.workers) if stopped_in_mid_insert(made, w))
        made.await_(lambda: not leases(made, owner), "its leases do not expire")
        # RabbitMQ gives up on it after two of them, and delivers its messages to another.
        time.sleep(3 * HEARTBEAT)
        one.goes_on()
        owner.networks["clickhouse"].heal()
        owner.signal(signal.SIGCONT)
        one.struck()
        one.goes_on(more=100)
