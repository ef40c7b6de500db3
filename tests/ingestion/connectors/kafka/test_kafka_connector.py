"""Kafka's connector: watermarks, offsets of a time, and which consumer reads which topic."""

from __future__ import annotations

from concurrent.futures import Future
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import IsolationLevel, KafkaError, KafkaException

from ingestion import hosts
from ingestion.connectors.base import LOOK, Watermarks
from ingestion.connectors.kafka import config, connector
from ingestion.connectors.kafka.connector import KafkaConnector, _check_leaders, group
from ingestion.connectors.redelivery import Redelivery
from ingestion.errors import BrokerUnreachable, StreamMissing
from ingestion.models import Connection, Source
from tenants.models import Tenant

AT = datetime(2026, 1, 1, tzinfo=UTC)
#: The spec of an offset, as the client's own class has it.
EARLIEST, LATEST = -2, -1


def source(pk: int, stream: str) -> Source:
    return Source(pk=pk, stream=stream, name=f"s{pk}", tenant=Tenant(slug="acme"))


def answered(value: Any) -> Future[Any]:
    future: Future[Any] = Future()
    if isinstance(value, int | SimpleNamespace):
        future.set_result(value)
    else:
        future.set_exception(value)
    return future


def error(code: int) -> KafkaException:
    return KafkaException(KafkaError(code))


def topic(*leaders: str, topic_id: object = "id") -> Any:
    return SimpleNamespace(
        topic_id=topic_id,
        partitions=[
            SimpleNamespace(leader=SimpleNamespace(host=host, port=9092) if host else None)
            for host in leaders
        ],
    )


class Admin:
    """``topics``: by name, what the broker says of each. ``offsets``: by spec and partition."""

    def __init__(self) -> None:
        self.topics: dict[str, Any] = {}
        self.offsets: dict[tuple[int, str, int], Any] = {}
        self.described: list[list[str]] = []

    def describe_topics(self, asked: Any, request_timeout: float) -> dict[str, Future[Any]]:
        self.described.append(list(asked.topic_names))
        return {name: answered(self.topics[name]) for name in asked.topic_names}

    def list_offsets(
        self, asked: dict[Any, Any], isolation_level: Any, request_timeout: float
    ) -> dict[Any, Future[Any]]:
        assert isolation_level == IsolationLevel.READ_COMMITTED
        found = {}
        for at, spec in asked.items():
            offset = self.offsets[spec._value, at.topic, at.partition]
            if isinstance(offset, int):
                offset = SimpleNamespace(offset=offset)
            found[at] = answered(offset)
        return found


@pytest.fixture
def admin() -> Admin:
    return Admin()


@pytest.fixture
def checked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses of leaders that were checked."""
    places: list[str] = []
    monkeypatch.setattr(hosts, "check_all", lambda found: places.extend(map(str, found)))
    return places


@pytest.fixture
def made(admin: Admin, checked: list[str]) -> KafkaConnector:
    found = KafkaConnector(Connection(name="k", kind="kafka", addresses="192.0.2.1:9092"))
    vars(found)["_admin"] = admin
    return found


# --- Measuring ----------------------------------------------------------------------------------


def test_each_partition_of_each_topic_is_measured(made: KafkaConnector, admin: Admin) -> None:
    admin.topics = {"a": topic("x", "x"), "b": topic("x", topic_id=None)}
    admin.offsets = {
        (EARLIEST, "a", 0): 3,
        (EARLIEST, "a", 1): 4,
        (EARLIEST, "b", 0): 0,
        (LATEST, "a", 0): 30,
        (LATEST, "a", 1): 40,
        (LATEST, "b", 0): 9,
    }
    measured = made.measure([source(1, "a"), source(2, "b"), source(3, "a")])
    of_a = {0: Watermarks(3, 30, "id"), 1: Watermarks(4, 40, "id")}
    assert measured == {1: of_a, 2: {0: Watermarks(0, 9)}, 3: of_a}
    assert admin.described == [["a", "b"]]
    (mark,) = measured[2].values()  # type: ignore[union-attr]
    assert mark.stream_id == ""
    assert measured[1][0].stream_id == "id"  # type: ignore[index]


def test_an_id_that_is_none_is_no_id(made: KafkaConnector, admin: Admin) -> None:
    """A broker before Kafka 2.8 gives each topic the same; else each would be the same stream."""
    admin.topics = {"a": topic("x", topic_id="A" * 22)}
    admin.offsets = {(EARLIEST, "a", 0): 0, (LATEST, "a", 0): 0}
    assert made.measure([source(1, "a")])[1][0].stream_id == ""  # type: ignore[index]


def test_a_topic_that_is_missing_hurts_no_other(made: KafkaConnector, admin: Admin) -> None:
    admin.topics = {"a": error(KafkaError.UNKNOWN_TOPIC_OR_PART), "b": topic("x")}
    admin.offsets = {(EARLIEST, "b", 0): 0, (LATEST, "b", 0): 9}
    measured = made.measure([source(1, "a"), source(2, "b")])
    assert isinstance(measured[1], StreamMissing)
    assert measured[2] == {0: Watermarks(0, 9)}


def test_a_broker_that_is_away_is_away_for_all(made: KafkaConnector, admin: Admin) -> None:
    admin.topics = {"a": error(KafkaError._TIMED_OUT), "b": topic("x")}
    with pytest.raises(BrokerUnreachable):
        made.measure([source(1, "a"), source(2, "b")])
    admin.topics = {"b": topic("x")}
    admin.offsets = {(EARLIEST, "b", 0): error(KafkaError._TRANSPORT)}
    with pytest.raises(BrokerUnreachable, match="Asking for offsets"):
        made.measure([source(2, "b")])


def test_leaders_are_checked_each_once(
    made: KafkaConnector, admin: Admin, checked: list[str]
) -> None:
    admin.topics = {"a": topic("x", "y", ""), "b": topic("x", "z")}
    admin.offsets = {
        (spec, name, number): 0
        for spec in (EARLIEST, LATEST)
        for name in "ab"
        for number in range(3)
    }
    made.measure([source(1, "a"), source(2, "b")])
    assert sorted(checked) == ["x:9092", "y:9092", "z:9092"]
    assert _check_leaders(topic("x", "y"), {("x", 9092)}) == {("x", 9092), ("y", 9092)}
    assert checked[3:] == ["y:9092"]


# --- The offset of a time -----------------------------------------------------------------------


def test_the_offset_of_a_time_is_the_end_where_nothing_is_as_late(
    made: KafkaConnector, admin: Admin
) -> None:
    since = int(AT.timestamp() * 1000)
    admin.offsets = {
        (since, "a", 0): 7,
        (since, "a", 1): -1,
        (since, "a", 2): 0,
        (LATEST, "a", 0): 30,
        (LATEST, "a", 1): 40,
        (LATEST, "a", 2): 50,
    }
    assert made.offsets_at(source(1, "a"), [0, 1, 2], AT) == {0: 7, 1: 40, 2: 0}


# --- Reading ------------------------------------------------------------------------------------


class FakeShared:
    """A consumer of topics; ``arrives``: whether a wait ends because something has come."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self.settings, self.topics = settings, list[str]()
        self.received: list[tuple[float, ...]] = []
        self.arrives = False
        self.is_closed = False

    def has(self, name: str) -> bool:
        return name in self.topics

    def add(self, name: str, positions: Any) -> None:
        self.topics.append(name)

    def receive(self, *arguments: float) -> bool:
        self.received.append(arguments)
        return self.arrives

    def close(self) -> None:
        self.is_closed = True


@pytest.fixture
def consumers(made: KafkaConnector, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    monkeypatch.setattr(connector, "SharedConsumer", FakeShared)
    monkeypatch.setattr(config, "consumer", lambda _, name: {"group.id": name})
    return made._shared


def opened(made: KafkaConnector, *topics: str) -> None:
    for pk, name in enumerate(topics, start=1):
        made.open(source(pk, name), {0: 0}, Redelivery())


def test_one_consumer_reads_all_topics_and_a_second_what_is_read_twice(
    made: KafkaConnector, consumers: list[Any]
) -> None:
    opened(made, "a", "b", "a", "c", "b", "a")
    assert [one.topics for one in consumers] == [["a", "b", "c"], ["a", "b"], ["a"]]
    assert consumers[0].settings == {"group.id": "millrace-acme-s1"}
    assert group(source(7, "a")) == "millrace-acme-s7"


def test_a_turn_receives_from_every_consumer(made: KafkaConnector, consumers: list[Any]) -> None:
    opened(made, "a", "a")
    made.receive(500)
    assert [one.received for one in consumers] == [[(500,)], [(500,)]]


def test_one_consumer_is_waited_for_as_long_as_wanted_and_several_in_short_turns(
    made: KafkaConnector, consumers: list[Any]
) -> None:
    opened(made, "a")
    assert not made.wait(8.0)
    assert consumers[0].received == [(1, 8.0)]
    opened(made, "a")
    assert not made.wait(8.0)
    assert [one.received[-1] for one in consumers] == [(1, LOOK)] * 2
    made.wait(0.02)
    assert [one.received[-1] for one in consumers] == [(1, 0.01)] * 2
    consumers[0].arrives = True
    assert made.wait(8.0)
    assert len(consumers[1].received) == 2


def test_a_connector_without_readers_waits_all_the_same(
    made: KafkaConnector, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []
    monkeypatch.setattr(connector, "time", SimpleNamespace(sleep=slept.append))
    assert not made.wait(3.0)
    assert slept == [3.0]


def test_closing_waits_for_the_last_commits_and_closes_every_consumer(
    made: KafkaConnector, consumers: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened(made, "a", "a")
    both, order = list(consumers), list[bool]()
    commits: Any = SimpleNamespace(close=lambda: order.append("_admin" in vars(made)))
    monkeypatch.setattr(made, "_commits", commits)
    made.close()
    assert order == [True]  # the client that commits was still there
    assert all(one.is_closed for one in both)
    assert (made._shared, "_admin" in vars(made)) == ([], False)
