"""Every way into Kafka through the product, and every way to be kept out, on a real broker."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from secured_brokers.certificates import Authority
from secured_brokers.kafka import USERS, SecuredKafka
from secured_brokers.provider import Provider

from ingestion.connectors import network
from ingestion.connectors.connection_trial import Outcome, TrialStep
from ingestion.models import Connection, Source, Table
from ingestion.services.trials import try_connection

pytestmark = pytest.mark.slow
READER = {"username": "reader", "password": USERS["reader"]}


@pytest.fixture
def kafka(
    secured_kafka: SecuredKafka, broker: Callable[..., Connection]
) -> Callable[..., Connection]:
    """A connection to a listener of the broker."""

    def make(listener: str, **fields: Any) -> Connection:
        return broker("kafka", secured_kafka.at(listener), **fields)

    return make


@pytest.fixture
def ca(authority: Authority) -> dict[str, str]:
    return {"ca_certificate": authority.certificate}


def shown(authority: Authority, name: str = "reader", days: int = 30) -> dict[str, str]:
    pair = authority.client(name, days)
    return {"client_certificate": pair.certificate, "client_key": pair.key}


# --- In -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
def test_messages_come_by_each_mechanism_over_tls(
    mechanism: str, kafka: Any, ca: dict[str, str], landed: Any
) -> None:
    made = kafka("secure", sasl_mechanism=mechanism, **READER, **ca)
    report = try_connection(made, ["orders"])
    assert report.is_good, report
    assert f"By {mechanism} as reader" in report.addresses[0].findings[3].said
    assert landed(made, "orders", 10) == list(range(10))


def test_messages_come_with_a_token_of_an_openid_provider(
    kafka: Any, ca: dict[str, str], landed: Any, provider: Provider
) -> None:
    token = {"token_url": provider.token_url, "token_scope": "streams.read"}
    made = kafka("secure", sasl_mechanism="OAUTHBEARER", **READER, **ca, **token)
    assert try_connection(made, ["orders"]).is_good
    assert landed(made, "orders", 10) == list(range(10))
    assert set(provider.scopes) == {"streams.read"}


def test_messages_come_with_a_client_certificate(
    kafka: Any, ca: dict[str, str], landed: Any, authority: Authority
) -> None:
    made = kafka("mutual", **ca, **shown(authority))
    assert try_connection(made, ["orders"]).is_good
    assert landed(made, "orders", 10) == list(range(10))


def test_messages_come_by_a_login_without_tls_at_any_of_several_addresses(
    secured_kafka: SecuredKafka, broker: Any, landed: Any
) -> None:
    at = f"{secured_kafka.at('login')}, {secured_kafka.at('login', 'localhost')}"
    made = broker("kafka", at, tls=False, sasl_mechanism="SCRAM-SHA-256", **READER)
    report = try_connection(made, ["orders"])
    assert report.is_good
    assert report.addresses[0].findings[2].said.startswith("Off:")
    assert landed(made, "orders", 10) == list(range(10))


# --- Out: name, route, TLS ----------------------------------------------------------------------


def test_a_name_that_nobody_knows_is_said_and_the_other_address_is_tried(
    secured_kafka: SecuredKafka, broker: Any, fails: Any
) -> None:
    made = broker("kafka", f"nowhere.invalid:9092, {secured_kafka.at('open')}")
    step, said, mend = fails(made, "orders")
    assert (step, said) == (TrialStep.NAME, "The name 'nowhere.invalid' can't be resolved.")
    assert "DNS" in mend
    report = try_connection(made, ["orders"])
    assert [one.is_good for one in report.addresses] == [False, True]
    assert [one.is_good for one in report.streams] == [True]


def test_a_closed_port_is_no_route(broker: Any, fails: Any) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and never listens
        at = f"127.0.0.1:{taken.getsockname()[1]}"
        step, said, mend = fails(broker("kafka", at))
    assert (step, said) == (TrialStep.ROUTE, f"Nothing listens at {at}.")
    assert "port" in mend


@pytest.mark.parametrize("address", ["kafka:port", ":9092", "kafka:99999"])
def test_an_address_that_is_none_is_said(address: str, broker: Any, fails: Any) -> None:
    with pytest.raises(ValidationError, match="is not an address"):
        broker("kafka", address)
    old = broker("kafka", "127.0.0.1:1")
    old.addresses = address  # of before such addresses were refused
    old.save()
    step, said, _ = fails(old)
    assert (step, said) == (TrialStep.NAME, f"{address!r} is not an address.")


@pytest.mark.parametrize(
    ("listener", "fields", "says", "mends"),
    [
        ("open", {"tls": True}, "does not speak TLS", "turn TLS off"),
        ("mutual", {"tls": False}, "speaks TLS, and TLS is off", "Turn TLS on"),
        ("secure", {"tls": True}, "is signed by 'Millrace Test CA'", "as the CA certificate"),
    ],
)
def test_tls_on_one_side_only_and_an_unknown_ca(
    listener: str, fields: dict[str, Any], says: str, mends: str, kafka: Any, fails: Any
) -> None:
    step, said, mend = fails(kafka(listener, **fields))
    assert step is TrialStep.TLS
    assert says in said
    assert mends in mend


@pytest.mark.parametrize(
    ("listener", "says", "mends"),
    [
        ("expired", "expired on 20", "Renew the broker's certificate"),
        ("elsewhere", "is for kafka-7.elsewhere.example, not for 127.0.0.1", "Use a name"),
        ("mutual", "asks for a client certificate", "Enter the client certificate and its key"),
    ],
)
def test_certificates_that_do_not_hold(
    listener: str, says: str, mends: str, kafka: Any, ca: dict[str, str], fails: Any
) -> None:
    step, said, mend = fails(kafka(listener, **ca))
    assert step is TrialStep.TLS
    assert says in said
    assert mends in mend


def test_a_certificate_that_expires_soon_is_told_before_it_does(
    kafka: Any, ca: dict[str, str]
) -> None:
    report = try_connection(kafka("soon", **ca), ["orders"])
    assert report.is_good
    found = report.addresses[0].findings[2]
    assert found.outcome is Outcome.DOUBTFUL
    assert "expires on 20" in found.said
    assert "Renew" in found.mend


def test_a_port_that_says_nothing_is_given_up(
    broker: Any, fails: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(network, "TIMEOUT", 0.3)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        at = f"127.0.0.1:{silent.getsockname()[1]}"
        assert "sends nothing" in fails(broker("kafka", at))[1]
        assert "did not answer the TLS handshake" in fails(broker("kafka", at, tls=True))[1]


@pytest.mark.parametrize("days", [30, -2])
def test_a_client_certificate_that_the_broker_refuses(
    days: int, kafka: Any, ca: dict[str, str], fails: Any, authority: Authority
) -> None:
    signer = Authority("Somebody Else") if days > 0 else authority
    step, said, _ = fails(kafka("mutual", **ca, **shown(signer, days=days)))
    assert step is TrialStep.TLS
    assert "refuses the client certificate" in said


def test_a_port_where_somebody_else_listens(broker: Any, fails: Any, provider: Provider) -> None:
    step, said, mend = fails(broker("kafka", provider.url.removeprefix("http://")))
    assert step is TrialStep.TLS
    assert "it is not Kafka" in said
    assert "Kafka listener" in mend


# --- Out: login, permission, topic --------------------------------------------------------------


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
def test_a_wrong_password_is_said_and_never_shown(
    mechanism: str, kafka: Any, ca: dict[str, str]
) -> None:
    fields = {"username": "reader", "password": "no-such-secret"}
    report = try_connection(kafka("secure", sasl_mechanism=mechanism, **fields, **ca), ["orders"])
    failure = report.addresses[0].failure
    assert failure is not None
    assert failure.step is TrialStep.LOGIN
    assert "refuses the login" in failure.said
    assert "password" in failure.mend
    assert "no-such-secret" not in repr(report.addresses)
    assert {one.outcome for one in report.streams[0].findings} == {Outcome.NOT_REACHED}


def test_a_token_endpoint_that_gives_none_is_told_from_a_broker_that_refuses(
    kafka: Any, ca: dict[str, str], fails: Any, provider: Provider
) -> None:
    wrong = {"username": "reader", "password": "no-such-secret", **ca}
    fields = {"sasl_mechanism": "OAUTHBEARER", "token_url": provider.token_url}
    step, said, mend = fails(kafka("secure", **wrong, **fields))
    assert step is TrialStep.LOGIN
    assert "The token endpoint gave no token" in said
    assert "invalid_client" in said
    assert "token URL" in mend
    fields["token_url"] = "http://127.0.0.1:1/token"
    assert "Could not connect" in fails(kafka("secure", **wrong, **fields))[1]


def test_a_login_on_one_side_only(kafka: Any, fails: Any) -> None:
    step, said, mend = fails(kafka("login"))
    assert step is TrialStep.LOGIN
    assert "asks for a login" in said
    assert "SASL mechanism" in mend
    step, said, _ = fails(kafka("open", tls=False, **READER))
    assert step is TrialStep.LOGIN
    assert "asks for no login" in said


def test_a_broker_that_sends_us_elsewhere(kafka: Any, secured_kafka: SecuredKafka) -> None:
    """The classic: the address is right, and what the broker says of itself is not."""
    report = try_connection(kafka("lost"), ["orders"])
    given, told = report.addresses
    assert given.is_good
    assert told.subject == secured_kafka.at("lost", "nowhere.invalid")
    assert "advertised.listeners" in told.note
    assert told.failure is not None
    assert told.failure.step is TrialStep.NAME
    assert not report.is_good


@pytest.mark.parametrize(
    ("user", "topic", "says"),
    [
        ("blind", "orders", "may see the topic 'orders', but not read it"),
        ("reader", "secret", "may not even see the topic 'secret'"),
    ],
)
def test_a_topic_that_may_not_be_read(
    user: str, topic: str, says: str, kafka: Any, fails: Any
) -> None:
    made = kafka("login", tls=False, username=user, password=USERS[user])
    step, said, mend = fails(made, topic)
    assert step is TrialStep.PERMISSION
    assert says in said
    assert f"--allow-principal User:{user} --operation Read --topic {topic}" in mend


def test_a_topic_that_is_not_there(kafka: Any, fails: Any) -> None:
    step, said, mend = fails(kafka("login", tls=False, **READER), "missing")
    assert (step, said) == (TrialStep.STREAM, "There is no topic 'missing'.")
    assert "Create it" in mend


def test_each_topic_of_the_sources_is_looked_at_with_the_group_of_each(
    kafka: Any, table_factory: Callable[..., Table]
) -> None:
    made = kafka("login", tls=False, username="lonely", password=USERS["lonely"])
    table = table_factory(made.tenant, [{"name": "n", "type": "UInt32"}])
    for name in ("orders", "missing"):
        Source.objects.create(
            tenant=table.tenant, name=name, connection=made, stream=name, table=table
        )
    missing, orders = try_connection(made).streams
    assert (missing.subject, orders.subject) == ("missing", "orders")
    assert orders.note == f"read by {table.tenant.slug}.orders"
    assert orders.failure is not None
    assert orders.failure.step is TrialStep.PERMISSION
    assert f"--group millrace-{table.tenant.slug}-orders" in orders.failure.mend


def test_a_connection_without_sources_is_tried_as_far_as_it_goes(kafka: Any) -> None:
    report = try_connection(kafka("open"))
    assert report.is_good
    assert report.streams == ()


def test_what_a_provider_answers_neither_shows_the_secret_nor_commands_a_terminal(
    kafka: Any, ca: dict[str, str], provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = {"error": "denied", "error_description": "no-such-secret \x1b[31m\x07"}
    monkeypatch.setattr(provider, "token", lambda *_: (401, answer))
    fields = {"sasl_mechanism": "OAUTHBEARER", "token_url": provider.token_url, **ca}
    report = try_connection(kafka("secure", username="reader", password="no-such-secret", **fields))
    failure = report.addresses[0].failure
    assert failure is not None
    assert "denied" in failure.said
    assert "no-such-secret" not in failure.said
    assert "\x1b" not in failure.said
