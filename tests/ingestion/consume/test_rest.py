"""A slice at rest: what wakes it, and what ends it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db.models import F

from ingestion.connectors.rabbitmq import link
from ingestion.consume import loop
from ingestion.consume.scheduling.idle_strategy import STEP
from ingestion.leases import lease
from ingestion.models import Connection, Source, StreamPartition, Table
from tests.chaos.harness.proxy import Proxy
from tests.ingestion.running import consume, error, numbers, partition

#: Seconds that a busy machine may take longer.
SLACK = 4.0
#: Seconds after which a slice is stopped at the latest.
LONGEST = 40.0


@pytest.fixture
def source(stream: Any, table: Table) -> Source:
    made: Source = stream.source(table)
    return made


@pytest.fixture
def proxied(queue: Callable[..., Any], table: Table) -> Iterator[tuple[Any, Source, Proxy]]:
    """A queue, its source, and the network between the source and the broker."""
    stream = queue()
    proxy = Proxy(stream.url.port)
    source = stream.source(table)
    Connection.objects.filter(pk=source.connection_id).update(addresses=f"127.0.0.1:{proxy.port}")
    yield stream, source, proxy
    proxy.close()


@pytest.fixture
def no_beat(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let rests end only by what the test does, not by a heartbeat."""
    monkeypatch.setattr("ingestion.consume.steps.wait.REST", LONGEST)
    monkeypatch.setattr(lease, "BEAT", LONGEST)
    monkeypatch.setattr(lease, "IDLE_BEAT", LONGEST)


def rest(
    source: Source,
    at: float,
    do: Callable[[], object],
    is_over: Callable[[], bool] = lambda: False,
) -> float:
    """Run a slice, and ``do`` something once after ``at`` seconds of it; it stops at ``is_over``.

    Returns the seconds from then on until it ended.
    """
    began = time.monotonic()
    done_at: list[float] = []

    def look() -> bool:
        passed = time.monotonic() - began
        if passed > at and not done_at:
            do()
            done_at.append(time.monotonic())
        return (bool(done_at) and is_over()) or passed > LONGEST

    consume(source, LONGEST, should_stop=look, may_go_on=lambda _: True)
    return time.monotonic() - done_at[0]


@pytest.mark.slow
def test_a_slice_takes_few_turns_while_nothing_comes(
    source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns, turn = list[float](), loop.take_turn
    monkeypatch.setattr(loop, "take_turn", lambda *of: (turns.append(time.monotonic()), turn(*of)))
    rest(source, 6.0, lambda: None, lambda: True)
    # A few turns, until the broker says that it has nothing. Naps would make hundreds.
    assert sum(at > turns[0] + 3 for at in turns) < 15


@pytest.mark.slow
@pytest.mark.usefixtures("no_beat")
def test_a_rest_ends_soon_when_the_worker_is_told_to_stop(source: Source) -> None:
    assert rest(source, 2.0, lambda: None, lambda: True) < STEP + SLACK
    assert partition(source).lease_owner == ""


@pytest.mark.slow
def test_a_rest_ends_when_another_has_the_lease(source: Source) -> None:
    def rob() -> None:
        robbed = StreamPartition.objects.filter(source=source)
        assert robbed.update(lease_owner="another", epoch=F("epoch") + 1) == 1

    assert rest(source, 2.0, rob) < lease.IDLE_BEAT + SLACK
    assert partition(source).lease_owner == "another"


@pytest.mark.slow
def test_a_rest_ends_when_the_source_is_paused(source: Source) -> None:
    def pause() -> None:
        Source.objects.filter(pk=source.pk).update(active=False)

    assert rest(source, 2.0, pause) < lease.IDLE_BEAT + SLACK
    assert partition(source).lease_owner == ""


@pytest.mark.slow
@pytest.mark.usefixtures("no_beat")
def test_a_message_ends_a_rest(stream: Any, source: Source, table: Table) -> None:
    def send() -> None:
        stream.send([b'{"n": 7}'])

    seconds = rest(source, 2.5, send, lambda: numbers(table) == [7])
    assert numbers(table) == [7]
    assert seconds < 1 + SLACK


@pytest.mark.slow
@pytest.mark.usefixtures("no_beat")
def test_a_rest_ends_when_the_link_is_lost(proxied: tuple[Any, Source, Proxy]) -> None:
    _, source, proxy = proxied
    assert rest(source, 2.0, proxy.cut) < SLACK
    assert "Queue" in error(source)
    assert partition(source).lease_owner == ""


@pytest.mark.slow
def test_a_link_outlives_a_rest_of_many_heartbeats(
    proxied: tuple[Any, Source, Proxy], table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream, source, _ = proxied
    monkeypatch.setattr(link, "HEARTBEAT", 4)

    def send() -> None:
        stream.send([b'{"n": 7}'])

    rest(source, 16.0, send, lambda: partition(source).landed == 1)
    assert numbers(table) == [7]
    assert error(source) == ""
    assert partition(source).epoch == 1
