"""Partitions added to a topic are found by measuring, and read from their first message on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ingestion.consume import discovery
from ingestion.models import Table
from tests.ingestion.running import balance, consume, consume_until, numbers, partition


@pytest.mark.slow
@pytest.mark.parametrize("start", ["earliest", "latest"])
def test_a_new_partition_is_read_from_its_first_message(
    start: str, topic: Callable[..., Any], table: Table
) -> None:
    stream = topic()
    source = stream.source(table, start=start)
    consume(source, 0.3)
    stream.send([b'{"n": 1}'])
    consume_until(source, lambda: numbers(table) == [1])
    stream.grow(3)
    stream.send([b'{"n": 2}', b'{"n": 3}'], partition=2)  # before anybody has seen it
    assert source.partitions.count() == 1
    discovery.measure_connection(source.connection_id)
    assert partition(source, 2).position == 0
    stream.send([b'{"n": 4}'], partition=1)
    consume_until(source, lambda: len(numbers(table)) == 4)
    assert numbers(table) == [1, 2, 3, 4]
    assert len(balance(source)) == 3


def test_a_source_that_was_never_read_begins_where_it_says_on_all(
    topic: Callable[..., Any], table: Table
) -> None:
    stream = topic()
    source = stream.source(table, start="latest")
    discovery.measure_connection(source.connection_id)
    stream.grow(2)
    stream.send([b'{"n": 1}'], partition=1)
    discovery.measure_connection(source.connection_id)
    assert partition(source, 1).position is None
    consume(source, 0.5)
    stream.send([b'{"n": 2}'], partition=1)
    consume_until(source, lambda: numbers(table) == [2])


def test_while_a_slice_reads_another_one_takes_what_is_new(
    topic: Callable[..., Any], table: Table
) -> None:
    stream = topic()
    source = stream.source(table)
    stream.send([b'{"n": 1}'])
    seen: list[int] = []

    def grow_meanwhile() -> bool:
        if not seen and numbers(table) == [1]:
            seen.append(1)
            stream.grow(2)
            stream.send([b'{"n": 2}'], partition=1)
            stream.send([b'{"n": 3}'], partition=0)
            discovery.measure_connection(source.connection_id)
            consume_until(source, lambda: 2 in numbers(table))
        return len(numbers(table)) == 3

    consume(source, 30, should_stop=grow_meanwhile)
    consume_until(source, lambda: numbers(table) == [1, 2, 3])
    assert partition(source, 0).position == 2
    assert partition(source, 1).position == 1
    balance(source)
