"""A sample of a live stream is its newest messages, and the stream stays as it is."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import Consumer, TopicPartition

from ingestion.connectors.base import Watermarks, _newest
from ingestion.connectors.kafka.connector import group
from ingestion.errors import CannotPeek, StreamMissing
from ingestion.inference.proposal import propose
from ingestion.inference.stream_sample import NothingArrived, of_source, of_stream_on
from ingestion.models import Source, StreamPartition
from tests.ingestion.conftest import Endpoint

pytestmark = pytest.mark.slow

MESSAGES = [json.dumps({"n": n, "kind": "ab"[n % 2]}).encode() for n in range(1, 41)]


def _prepared(stream: Any, table: Any) -> Source:
    source: Source = stream.source(table, active=False)
    StreamPartition.objects.get_or_create(source=source, number=0)
    return source


@pytest.fixture(params=["kafka", "classic", "stream", "http"])
def stream(request: pytest.FixtureRequest, unique: Callable[[str], str]) -> Any:
    """A stream of each kind that can be looked at."""
    if request.param == "http":
        return Endpoint(unique("endpoint"))
    if request.param == "kafka":
        return request.getfixturevalue("topic")()
    return request.getfixturevalue("queue")(request.param)


def test_the_messages_are_seen_and_stay(stream: Any, table: Any) -> None:
    source = _prepared(stream, table)
    with pytest.raises(NothingArrived, match="Send some, and repeat"):
        of_source(source)
    stream.send(MESSAGES)
    for _ in range(2):
        sample = of_source(source)
        assert sorted(sample.messages(())) == sorted(MESSAGES)
    assert [column.spec.name for column in propose(sample).columns] == ["n", "kind"]
    if stream.kind == "rabbitmq" and not stream.has_offsets:
        assert stream.depth() == len(MESSAGES)
    if stream.kind == "kafka":
        assert _committed(stream, source) < 0


def test_a_quorum_queue_is_not_looked_at_since_it_counts_that(queue: Any, table: Any) -> None:
    made = queue("quorum", x_delivery_limit=1)
    source = _prepared(made, table)
    made.send(MESSAGES)
    for _ in range(3):
        with pytest.raises(CannotPeek, match="quorum queue"):
            of_source(source)
    assert made.depth() == len(MESSAGES)


def test_a_stream_without_a_source_is_sampled(topic: Any, table: Any) -> None:
    made = topic(3)
    connection = made.connection(table.tenant)
    made.send(MESSAGES[:30], 2)
    made.send(MESSAGES[30:], 0)
    sample = of_stream_on(connection, made.name, table.tenant)
    assert sorted(sample.messages(())) == sorted(MESSAGES)
    assert not Source.across_tenants.exists()
    with pytest.raises(StreamMissing):
        of_stream_on(connection, "no-such-topic", table.tenant)


@pytest.mark.parametrize(
    ("held", "limit", "expected"),
    [
        ({0: (5, 105)}, 10, {0: (95, 105)}),
        ({0: (0, 3), 1: (0, 100)}, 10, {0: (0, 3), 1: (93, 100)}),
        ({0: (7, 7), 1: (0, 2)}, 10, {1: (0, 2)}),
        ({0: (0, 0)}, 10, {}),
        (dict.fromkeys(range(3), (0, 100)), 2, {0: (99, 100), 1: (99, 100)}),
    ],
)
def test_partitions_share_the_newest_messages(held: Any, limit: int, expected: Any) -> None:
    marks = {number: Watermarks(*pair) for number, pair in held.items()}
    assert _newest(marks, limit) == expected


def _committed(stream: Any, source: Source) -> int:
    consumer = Consumer({"bootstrap.servers": stream.servers, "group.id": group(source)})
    try:
        (at,) = consumer.committed([TopicPartition(stream.name, 0)], timeout=60)
        return int(at.offset)
    finally:
        consumer.close()
