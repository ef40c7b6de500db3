"""RabbitMQ: losing the connection or channel during a batch neither loses nor doubles messages."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ingestion.connectors.rabbitmq.consumer import QueueConsumer
from ingestion.consume.insert_pool import InsertPool
from ingestion.models import Connection, Source, Table
from tests.chaos.harness.proxy import Proxy
from tests.ingestion.running import balance, consume, consume_until, error, numbers, partition

KINDS = ["classic", "quorum", "stream"]


@pytest.fixture(params=KINDS)
def stream(request: pytest.FixtureRequest, queue: Callable[..., Any]) -> Any:
    made = queue(request.param)
    made.send([b'{"n": %d}' % n for n in range(200)])
    return made


@pytest.fixture
def proxied(stream: Any, table: Table) -> Iterator[tuple[Source, Proxy]]:
    """The source, and the network between it and the broker."""
    proxy = Proxy(stream.url.port)
    source = stream.source(table)
    Connection.objects.filter(pk=source.connection_id).update(
        addresses=f"127.0.0.1:{proxy.port}", options={"prefetch": 50}
    )
    yield source, proxy
    proxy.close()


def at_second_insert(patched: pytest.MonkeyPatch, do: Callable[[], None]) -> None:
    """Before the second batch's insert, when the first may not be acknowledged yet.

    In the slice's own thread, as a channel belongs to one.
    """
    submit, calls = InsertPool.submit, []

    def interrupted(*arguments: Any) -> None:
        calls.append(1)
        if len(calls) == 2:
            do()
        submit(*arguments)

    patched.setattr(InsertPool, "submit", interrupted)


@pytest.mark.slow
def test_a_connection_lost_in_mid_batch(
    stream: Any,
    proxied: tuple[Source, Proxy],
    table: Table,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source, proxy = proxied
    with monkeypatch.context() as patched:
        at_second_insert(patched, proxy.cut)
        consume(source, 10)
    assert "RabbitMQ" in error(source) or "Queue" in source.error
    assert 0 < len(numbers(table)) <= 200
    proxy.heal()
    consume_until(source, lambda: partition(source).position == 200)
    consume(source, 3)
    assert numbers(table) == list(range(200))
    assert stream.has_offsets or stream.depth() == 0
    balance(source)


@pytest.mark.slow
def test_a_channel_that_the_broker_closes_in_mid_batch(
    stream: Any, table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = stream.source(table)
    Connection.objects.update(options={"prefetch": 50})
    consumers: list[QueueConsumer] = []
    taken = QueueConsumer._consume

    def note(self: QueueConsumer, *arguments: Any) -> None:
        consumers.append(self)
        taken(self, *arguments)

    def break_it() -> None:
        # The broker closes the channel, because it never delivered what is acknowledged here.
        consumers[-1].channel.basic_ack(1_000_000)

    with monkeypatch.context() as patched:
        patched.setattr(QueueConsumer, "_consume", note)
        at_second_insert(patched, break_it)
        consume(source, 10)
    assert "unknown delivery tag" in error(source)
    consume_until(source, lambda: partition(source).position == 200)
    consume(source, 3)
    assert numbers(table) == list(range(200))
    assert stream.has_offsets or stream.depth() == 0
    balance(source)
