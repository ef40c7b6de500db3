"""One consumer of many topics: what it holds of their backlogs, and that it loses none of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ingestion.connectors.kafka import config, shared
from ingestion.connectors.kafka.shared import SharedConsumer, Tray
from ingestion.models import Connection

TOPICS, MESSAGES, MOST, LIMIT = 12, 900, 2_400, 300
#: Of one message in bytes, as a tray counts them.
SIZE = 100


@pytest.fixture
def trays(topic: Callable[..., Any], kafka_broker: str) -> Iterator[tuple[SharedConsumer, Any]]:
    """A consumer of topics of which each has a backlog, and its trays."""
    streams = [topic() for _ in range(TOPICS)]
    for stream in streams:
        stream.send([b"%0100d" % number for number in range(MESSAGES)])
    connection = Connection(name="kafka", kind="kafka", addresses=kafka_broker)
    made = SharedConsumer(config.consumer(connection, "millrace-test"))
    yield made, [made.add(stream.name, {0: 0}) for stream in streams]
    made.close()


def receive(consumer: SharedConsumer, seconds: float, trays: list[Tray]) -> int:
    """The most messages that the trays held together, looked at after each call."""
    most, deadline = 0, time.monotonic() + seconds
    while time.monotonic() < deadline:
        consumer.receive(LIMIT)
        most = max(most, sum(len(one.messages) for one in trays))
        time.sleep(0.005)
    return most


@pytest.mark.slow
@pytest.mark.parametrize("which", ["FULL_ALL", "FULL_BYTES_ALL"])
def test_backlogs_of_many_topics_are_held_to_a_bound(
    trays: tuple[SharedConsumer, list[Tray]], which: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody takes anything but of the first, as where the others hold their share of memory."""
    consumer, (first, *others) = trays
    # Beyond it, a topic may have got one call's messages more before it was paused.
    bound = MOST + (MOST if which == "FULL_ALL" else TOPICS * LIMIT)
    monkeypatch.setattr(shared, which, MOST * (1 if which == "FULL_ALL" else SIZE))
    deadline, taken = time.monotonic() + 120, list[int]()
    while len(taken) < MESSAGES and time.monotonic() < deadline:
        assert receive(consumer, 0.05, [first, *others]) < bound + LIMIT
        messages, _ = first.take(LIMIT)
        taken += [one.offset() or 0 for one in messages]
    assert taken == list(range(MESSAGES))
    assert receive(consumer, 1.0, others) < bound + LIMIT
    # All that was left at the broker comes, each message once and in its order.
    found = {one.topic: list[int]() for one in others}
    while sum(map(len, found.values())) < MESSAGES * len(others) and time.monotonic() < deadline:
        receive(consumer, 0.02, others)
        for tray in others:
            messages, _ = tray.take(LIMIT)
            found[tray.topic] += [one.offset() or 0 for one in messages]
    assert all(offsets == list(range(MESSAGES)) for offsets in found.values())
