"""Transactional producers: aborted messages never land, and markers hold nothing up."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from confluent_kafka import Producer
from django.core.management import call_command

from ingestion.consume import discovery
from ingestion.models import Batch, Source, Table
from tests.ingestion.running import (
    balance,
    consume,
    consume_until,
    crash_at_insert,
    numbers,
    partition,
)

pytestmark = pytest.mark.slow


class Sender:
    """A transactional producer of a topic's partition 0."""

    def __init__(self, stream: Any, name: str) -> None:
        self.stream = stream
        self.producer = Producer(
            {"bootstrap.servers": stream.servers, "transactional.id": f"{stream.name}-{name}"}
        )
        self.producer.init_transactions(20)

    def send(self, *values: int) -> None:
        for value in values:
            self.producer.produce(self.stream.name, b'{"n": %d}' % value, partition=0)
        assert self.producer.flush(120) == 0

    @contextmanager
    def transaction(self, *, abort: bool = False) -> Iterator[None]:
        self.producer.begin_transaction()
        yield
        (self.producer.abort_transaction if abort else self.producer.commit_transaction)(20)


@pytest.fixture
def stream(topic: Callable[[], Any]) -> Any:
    return topic()


@pytest.fixture
def source(stream: Any, table: Table) -> Source:
    made: Source = stream.source(table)
    return made


def lag(source: Source) -> int:
    assert source.connection_id is not None
    discovery.measure_connection(source.connection_id)
    return partition(source).lag


def interleaved(stream: Any) -> None:
    """Committed: 0, 1, 2, 20, 21; aborted: 10, 11, 12. The last offset is an abort's marker."""
    keeps, aborts = Sender(stream, "keeps"), Sender(stream, "aborts")
    with aborts.transaction(abort=True):
        aborts.send(10)
        with keeps.transaction():
            keeps.send(0)
            aborts.send(11)
            keeps.send(1, 2)
        aborts.send(12)
        stream.send([b'{"n": 20}', b'{"n": 21}'])


def test_committed_and_aborted_ones_mixed_with_plain_messages(
    stream: Any, source: Source, table: Table
) -> None:
    interleaved(stream)
    consume_until(source, lambda: partition(source).position == 10)
    assert numbers(table) == [0, 1, 2, 20, 21]
    assert lag(source) == 0
    assert partition(source).high_watermark == 10  # 8 messages and 2 markers
    (found,) = balance(source)
    assert (found.received, found.at_broker, found.end) == (5, 5, 10)


def test_lag_is_0_behind_a_last_offset_that_is_a_marker(
    stream: Any, source: Source, table: Table
) -> None:
    sender = Sender(stream, "one")
    with sender.transaction():
        sender.send(1)
    consume_until(source, lambda: partition(source).position == 2)
    assert (numbers(table), lag(source)) == ([1], 0)
    with sender.transaction(abort=True):
        sender.send(2)
    consume_until(source, lambda: partition(source).position == 4)
    assert numbers(table) == [1]
    assert lag(source) == 0
    batches = Batch.objects.count()
    consume(source, 1)
    assert Batch.objects.count() == batches  # an end that was told once is not told again
    with sender.transaction():
        sender.send(3)
    consume_until(source, lambda: partition(source).position == 6)
    assert numbers(table) == [1, 3]
    out = io.StringIO()
    call_command("ledger", str(source), stdout=out)
    assert "balance." in out.getvalue()


def test_what_is_not_committed_waits(stream: Any, source: Source, table: Table) -> None:
    sender = Sender(stream, "one")
    with sender.transaction():
        sender.send(1)
        stream.send([b'{"n": 2}'])
        consume(source)
        assert numbers(table) == []
        assert (partition(source).position, lag(source)) == (0, 0)
    consume_until(source, lambda: numbers(table) == [1, 2])
    balance(source)


@pytest.mark.parametrize("landed", ["nothing", "a part", "all"])
def test_a_batch_over_markers_is_repeated_after_a_crash(
    landed: str, stream: Any, source: Source, table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    interleaved(stream)
    deadline = time.monotonic() + 120
    while lag(source) != 10 and time.monotonic() < deadline:
        time.sleep(0.05)
    parts: dict[str, Callable[[Any], Any]] = {
        "nothing": lambda _: None,
        "a part": lambda rows: rows.slice(0, 1),
        "all": lambda rows: rows,
    }
    crash_at_insert(source, monkeypatch, parts[landed])
    assert Batch.objects.filter(state="intent").exists()
    consume_until(source, lambda: partition(source).position == 10)
    assert numbers(table) == [0, 1, 2, 20, 21]
    balance(source)


def test_a_batch_of_markers_alone_is_repeated_after_a_crash(
    stream: Any, source: Source, table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    sender = Sender(stream, "one")
    with sender.transaction(abort=True):
        sender.send(1, 2)
    crash_at_insert(source, monkeypatch)
    batch = Batch.objects.get(state="intent")
    assert (batch.from_offset, batch.to_offset, batch.rows) == (0, 3, 0)
    consume_until(source, lambda: partition(source).position == 3)
    assert numbers(table) == []
    balance(source)
