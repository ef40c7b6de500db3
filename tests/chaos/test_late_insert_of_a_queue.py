"""The insert of a queue's batch that is held up in the network, and arrives late.

RabbitMQ has delivered the messages to another worker by then, in a batch with a token of its own.
The fence of the first batch keeps it out (``ingestion.landing.fence``).
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
