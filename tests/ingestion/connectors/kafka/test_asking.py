"""Asking a Kafka broker: when a query is given up, and which of many errors is told."""

from __future__ import annotations

from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from ingestion.connectors.connection_trial import TIMEOUT, StepFailed
from ingestion.connectors.kafka import asking
from ingestion.connectors.kafka.asking import Asker

PLAIN = {"security.protocol": "PLAINTEXT"}
ALL_DOWN = KafkaError._ALL_BROKERS_DOWN


class Client:
    """librdkafka's client: a poll moves the clock on, and reports the error that is due by then."""

    def __init__(self, settings: dict[str, Any], **_: Any) -> None:
        self.report = settings["error_cb"]
        self.now = 100.0
        self.due: list[tuple[float, KafkaError]] = []
        self.future: Future[Any] = Future()

    def describe_cluster(self, request_timeout: float) -> Future[Any]:
        return self.future

    def describe_topics(self, names: Any, **_: Any) -> dict[str, Future[Any]]:
        return {names.topic_names[0]: self.future}

    def poll(self, seconds: float) -> None:
        self.now += seconds
        while self.due and self.due[0][0] <= self.now - 100.0:
            self.report(self.due.pop(0)[1])


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Client:
    made = Client({"error_cb": None})

    def make(settings: dict[str, Any], **_: Any) -> Client:
        made.report = settings["error_cb"]
        return made

    monkeypatch.setattr(asking, "AdminClient", make)
    monkeypatch.setattr(asking, "time", SimpleNamespace(monotonic=lambda: made.now))
    return made


def failing(asker: Asker, client: Client) -> tuple[str, float]:
    """What the failure of a query says, and after how many seconds."""
    with pytest.raises(StepFailed) as raised:
        asker.cluster()
    return raised.value.said, client.now - 100.0


def error(code: int, text: str = "") -> KafkaError:
    return KafkaError(code, text)


def test_an_answer_is_given_back(client: Client) -> None:
    client.future.set_result("cluster")
    assert Asker(PLAIN, "b:1").cluster() == "cluster"


def test_a_broker_that_says_nothing_is_waited_for_twice_a_steps_time(client: Client) -> None:
    said, seconds = failing(Asker(PLAIN, "b:1"), client)
    assert said == "b:1 did not answer within 8 s."
    assert 2 * TIMEOUT < seconds < 2 * TIMEOUT + 0.2


def test_after_a_failed_login_there_is_no_waiting(client: Client) -> None:
    client.due = [(1.0, error(KafkaError._AUTHENTICATION, "b:1/bootstrap: Bad credentials"))]
    said, seconds = failing(Asker(PLAIN, "b:1"), client)
    assert said == "b:1 refuses the login: Bad credentials."
    assert seconds < 1.2


def test_a_reason_that_comes_shortly_after_is_waited_for_and_told_first(client: Client) -> None:
    reason = error(KafkaError._TRANSPORT, "b:1/bootstrap: Connection refused")
    client.due = [(1.0, error(ALL_DOWN)), (1.5, reason)]
    said, seconds = failing(Asker(PLAIN, "b:1"), client)
    assert "Connection refused" in said
    # The wait begins with the first error, and no later one prolongs it.
    assert 2.0 <= seconds < 2.2


@pytest.mark.parametrize(
    ("protocol", "says"), [("SASL_PLAINTEXT", "during the login"), ("SSL", "asks for a login")]
)
def test_without_a_reason_the_broker_hangs_up(protocol: str, says: str, client: Client) -> None:
    client.due = [(1.0, error(ALL_DOWN))]
    assert says in failing(Asker({"security.protocol": protocol}, "b:1"), client)[0]


def test_a_query_that_fails_tells_what_was_reported_before_its_own_error(client: Client) -> None:
    client.future.set_exception(KafkaException(error(KafkaError._TIMED_OUT, "timed out")))
    asker = Asker(PLAIN, "b:1")
    assert "timed out" in failing(asker, client)[0]
    client.report(error(KafkaError._TRANSPORT, "b:1/bootstrap: Receive failed"))
    assert "Receive failed" in failing(asker, client)[0]


def test_an_error_about_a_topic_stays_the_clients(client: Client) -> None:
    client.future.set_exception(KafkaException(error(KafkaError.UNKNOWN_TOPIC_OR_PART)))
    with pytest.raises(KafkaException):
        Asker(PLAIN, "b:1").topic("t")


def test_brokers_that_this_one_has_named_are_told_apart_from_it(client: Client) -> None:
    asker = Asker(PLAIN, "b:1")
    for text in ("sasl_ssl://other:9/7: Failed", "b:1/1: Failed", "b:1/bootstrap: Failed", "x"):
        client.report(error(KafkaError._TRANSPORT, text))
    assert asker.elsewhere == {"other:9": 7}


def test_settings_that_the_client_refuses_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise KafkaException(error(KafkaError._INVALID_ARG, "no such property"))

    monkeypatch.setattr(asking, "AdminClient", refuse)
    with pytest.raises(StepFailed, match="refuses the settings: no such property"):
        Asker(PLAIN, "b:1")
