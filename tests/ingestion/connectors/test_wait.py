"""How connectors wait for messages: woken by them, never for too long, and hiding no fault."""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Callable, Iterator
from threading import Timer
from typing import Any

import pytest

from ingestion.connectors.base import Connector, Reader
from ingestion.connectors.rabbitmq import link
from ingestion.connectors.rabbitmq.reader import QUIET
from ingestion.connectors.redelivery import Redelivery
from ingestion.connectors.registry import connect
from ingestion.errors import BrokerUnreachable
from ingestion.models import Source, StreamPartition, Table
from tests.chaos.harness.proxy import Proxy

LONG = 8.0


@pytest.fixture
def source(stream: Any, table: Table) -> Source:
    made = stream.source(table)
    StreamPartition.objects.get_or_create(source=made, number=0, defaults={"position": 0})
    return made


@pytest.fixture
def connector(source: Source) -> Iterator[Connector]:
    made = connect(source.connection)
    yield made
    made.close()


@pytest.fixture
def reader(connector: Connector, source: Source) -> Iterator[Reader]:
    """Of a stream that is at rest: its broker has said all that it says at the beginning."""
    made = connector.open(source, {0: 0}, Redelivery())
    _rest(connector, made)
    yield made
    made.close()


@pytest.fixture
def proxied(queue: Callable[..., Any], table: Table) -> Iterator[tuple[Connector, Reader, Proxy]]:
    """A reader of a queue, and the network between that and the broker."""
    stream = queue()
    proxy = Proxy(stream.url.port)
    source = stream.source(table)
    assert source.connection is not None
    source.connection.addresses = f"127.0.0.1:{proxy.port}"
    connector = connect(source.connection)
    reader = connector.open(source, {0: 0}, Redelivery())
    _rest(connector, reader)
    yield connector, reader, proxy
    # To say goodbye over a link that is half open takes until it is given up.
    proxy.cut()
    reader.close()
    connector.close()
    proxy.close()


def _rest(connector: Connector, reader: Reader) -> None:
    until = time.monotonic() + 10
    is_woken = True
    while is_woken and time.monotonic() < until:
        reader.keep_alive()
        connector.receive(100)
        reader.poll(100)
        is_woken = _wait(connector, 1.0)[0]
    assert not is_woken


def _wait(connector: Connector, seconds: float) -> tuple[bool, float]:
    """Whether something came within ``seconds``, and after how many."""
    began = time.monotonic()
    while (left := began + seconds - time.monotonic()) > 0:
        if connector.wait(left):
            return True, time.monotonic() - began
    return False, time.monotonic() - began


def _polled(connector: Connector, reader: Reader) -> list[bytes]:
    connector.receive(100)
    return [raw for one in reader.poll(100) for raw in one.rows["raw"].to_pylist()]


def test_a_wait_ends_when_a_message_comes(
    stream: Any, connector: Connector, reader: Reader
) -> None:
    assert not reader.has_arrived()
    if stream.kind == "http":  # this test's transaction is of its own thread
        stream.send([b'{"n": 1}'])
    else:
        Timer(0.5, stream.send, ([b'{"n": 1}'],)).start()
    has_come, seconds = _wait(connector, LONG)
    assert has_come
    assert seconds < 3
    assert _polled(connector, reader) == [b'{"n": 1}']
    assert not reader.has_arrived()


@pytest.mark.slow
def test_a_wait_without_a_message_ends_in_time(
    stream: Any, connector: Connector, reader: Reader
) -> None:
    has_come, seconds = _wait(connector, 0.6)
    assert not has_come
    assert 0.6 <= seconds < 1.2


@pytest.mark.slow
def test_two_sources_of_one_topic_are_waited_for_both(
    topic: Callable[..., Any], table: Table, table_factory: Callable[..., Table]
) -> None:
    """Each is read by a consumer of its own."""
    stream = topic()
    source = stream.source(table)
    connector = connect(source.connection)
    first = connector.open(source, {0: 0}, Redelivery())
    _rest(connector, first)
    second = connector.open(source, {0: 0}, Redelivery())
    _rest(connector, second)
    stream.send([b"{}"])
    deadline = time.monotonic() + LONG
    while not (first.has_arrived() and second.has_arrived()) and time.monotonic() < deadline:
        connector.wait(1.0)
    assert [_polled(connector, one) for one in (first, second)] == [[b"{}"], [b"{}"]]
    connector.close()


def test_a_broker_that_is_away_is_said_by_the_reader_though_nobody_waits_for_it(
    topic: Callable[..., Any], table: Table
) -> None:
    stream = topic()
    source = stream.source(table)
    proxy = Proxy(int(stream.servers.rpartition(":")[2]))
    proxy.cut()
    assert source.connection is not None
    source.connection.addresses = f"127.0.0.1:{proxy.port}"
    connector = connect(source.connection)
    reader = connector.open(source, {0: 0}, Redelivery())
    deadline = time.monotonic() + 120
    while not reader.has_arrived() and time.monotonic() < deadline:
        assert not connector.wait(0.2)
    with pytest.raises(BrokerUnreachable):
        reader.poll(10)
    reader.close()
    connector.close()
    proxy.close()


# --- RabbitMQ -------------------------------------------------------------------------------------


def test_what_came_with_an_answer_ends_a_wait(queue: Callable[..., Any], table: Table) -> None:
    """py-amqp takes in deliveries while it waits for an answer: the socket is empty then."""
    stream = queue()
    source = stream.source(table)
    connector = connect(source.connection)
    reader = connector.open(source, {0: 0}, Redelivery())
    _rest(connector, reader)
    stream.send([b"{}"])
    time.sleep(0.3)
    reader.flush()
    has_come, seconds = _wait(connector, LONG)
    assert has_come
    assert seconds < 1
    assert _polled(connector, reader) == [b"{}"]
    reader.close()
    connector.close()


def test_a_link_that_is_cut_ends_a_wait_and_its_reader_says_so(
    proxied: tuple[Connector, Reader, Proxy],
) -> None:
    connector, reader, proxy = proxied
    Timer(0.5, proxy.cut).start()
    has_come, seconds = _wait(connector, LONG)
    assert has_come
    assert seconds < 2
    assert reader.has_arrived()
    with pytest.raises(BrokerUnreachable):
        reader.poll(10)
    # To wait again neither hides it nor fails.
    assert connector.wait(0.1)


@pytest.mark.slow
def test_a_link_that_is_half_open_is_noticed_by_its_heartbeats(
    monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.setattr(link, "HEARTBEAT", 4)
    connector, reader, proxy = request.getfixturevalue("proxied")
    proxy.stall()
    until = time.monotonic() + 30

    def rest() -> None:
        while time.monotonic() < until:
            _wait(connector, 0.5)
            reader.keep_alive()

    with pytest.raises(BrokerUnreachable, match="heartbeat"):
        rest()
    assert time.monotonic() < until


@pytest.mark.slow
def test_a_link_that_nobody_reads_lives_while_bytes_come(
    queue: Callable[..., Any], table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tenant that holds enough is not read; its heartbeats wait in the socket."""
    monkeypatch.setattr(link, "HEARTBEAT", 2)
    stream = queue()
    connector = connect(stream.source(table).connection)
    reader = connector.open(Source.objects.get(), {0: 0}, Redelivery())
    stream.send([b"{}"])
    for _ in range(20):
        time.sleep(0.5)
        reader.keep_alive()
    assert _polled(connector, reader) == [b"{}"]
    reader.close()
    connector.close()


@pytest.mark.slow
def test_what_came_while_nobody_looked_is_no_silence(
    queue: Callable[..., Any], table: Table
) -> None:
    """To open many readers takes longer than the silence after which nothing comes again."""
    stream = queue()
    source = stream.source(table)
    connector = connect(source.connection)
    stream.send_without_id([b"{}"])
    first = connector.open(source, {0: 0}, Redelivery())
    assert _wait(connector, LONG)[0]
    assert _polled(connector, first) == [b"{}"]
    first.close()
    landed = hashlib.blake2b(b"{}", digest_size=16).hexdigest()
    again = connector.open(source, {0: 1}, Redelivery(Counter({landed: 1})))
    time.sleep(QUIET + 0.5)
    assert not again.has_caught_up()
    assert _polled(connector, again) == []
    time.sleep(QUIET + 0.5)
    assert again.has_caught_up()
    again.close()
    connector.close()


@pytest.mark.slow
def test_what_may_come_again_is_forgotten_in_time_though_nothing_comes(
    queue: Callable[..., Any], table: Table
) -> None:
    """Nobody polls a reader that has nothing; a sender may use an id again after the silence."""
    source = queue().source(table)
    connector = connect(source.connection)
    redelivery = Redelivery(Counter({"acknowledged": 1}))
    reader = connector.open(source, {0: 1}, redelivery)
    assert not reader.has_arrived()
    time.sleep(QUIET + 0.5)
    assert reader.has_arrived()
    assert reader.poll(10) == []
    assert not redelivery.unsettled
    assert not reader.has_arrived()
    reader.close()
    connector.close()
