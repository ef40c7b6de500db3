"""Every way into RabbitMQ through the product, and every way to be kept out, on a real broker."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from secured_brokers.certificates import Authority
from secured_brokers.rabbitmq import USERS, SecuredRabbitMQ

from ingestion.connectors.connection_trial import TrialStep
from ingestion.errors import ConnectorError
from ingestion.models import Connection
from ingestion.services.trials import try_connection

pytestmark = pytest.mark.slow
READER = {"username": "reader", "password": USERS["reader"]}
MESSAGES = [b'{"n": %d}' % number for number in range(10)]


@pytest.fixture
def rabbitmq(
    secured_rabbitmq: SecuredRabbitMQ, broker: Callable[..., Connection]
) -> Callable[..., Connection]:
    """A connection to a listener of the broker; ``vhost`` goes behind its address."""

    def make(listener: str, host: str = "127.0.0.1", vhost: str = "", **fields: Any) -> Connection:
        at = getattr(secured_rabbitmq, listener).replace("127.0.0.1", host)
        return broker("rabbitmq", at + vhost, **fields)

    return make


@pytest.fixture
def ca(authority: Authority) -> dict[str, str]:
    return {"ca_certificate": authority.certificate}


def shown(authority: Authority, name: str) -> dict[str, str]:
    pair = authority.client(name)
    return {"client_certificate": pair.certificate, "client_key": pair.key}


# --- In -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_messages_come_over_tls(
    host: str,
    rabbitmq: Any,
    secured_rabbitmq: SecuredRabbitMQ,
    ca: dict[str, str],
    landed: Any,
) -> None:
    secured_rabbitmq.send(MESSAGES)
    made = rabbitmq("secure", host, **READER, **ca)
    report = try_connection(made, ["orders"])
    assert report.is_good, report
    assert report.addresses[0].findings[2].said.startswith("TLSv1.3")
    assert landed(made, "orders", 10) == list(range(10))


def test_messages_come_by_the_client_certificate_alone(
    rabbitmq: Any,
    secured_rabbitmq: SecuredRabbitMQ,
    ca: dict[str, str],
    landed: Any,
    authority: Authority,
) -> None:
    secured_rabbitmq.send(MESSAGES)
    made = rabbitmq("secure", sasl_mechanism="EXTERNAL", **ca, **shown(authority, "reader"))
    report = try_connection(made, ["orders"])
    assert report.is_good, report
    assert landed(made, "orders", 10) == list(range(10))


def test_a_test_takes_no_message(rabbitmq: Any, secured_rabbitmq: SecuredRabbitMQ) -> None:
    secured_rabbitmq.send(MESSAGES)
    assert try_connection(rabbitmq("plain", **READER), ["orders"]).is_good
    with secured_rabbitmq.link() as link:
        channel: Any = link.channel()
        found = [channel.basic_get("orders", no_ack=True) for _ in MESSAGES]
    assert [one.body.encode() for one in found] == MESSAGES
    assert not any(one.delivery_info["redelivered"] for one in found)


# --- Out ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("listener", "fields", "says"),
    [
        ("secure", {"tls": True}, "is signed by 'Millrace Test CA'"),
        ("plain", {"tls": True}, "does not speak TLS"),
        ("secure", {"tls": False}, "speaks TLS, and TLS is off"),
    ],
)
def test_tls_that_does_not_hold(
    listener: str, fields: dict[str, Any], says: str, rabbitmq: Any, fails: Any
) -> None:
    made = rabbitmq(listener, **fields, **READER)
    step, said, _ = fails(made, "orders")
    assert step is TrialStep.TLS
    assert says in said


def test_a_broker_of_an_unknown_ca_gets_no_password(rabbitmq: Any) -> None:
    """Consuming verifies as the test does."""
    from ingestion.connectors.rabbitmq import link

    with pytest.raises(ConnectorError, match="certificate verify failed"):
        link.connect(rabbitmq("secure", tls=True, **READER))


def test_a_client_certificate_of_somebody_elses(
    rabbitmq: Any, ca: dict[str, str], fails: Any, authority: Authority
) -> None:
    external = {"sasl_mechanism": "EXTERNAL", **ca}
    stranger = shown(Authority("Somebody Else"), "reader")
    step, said, _ = fails(rabbitmq("secure", **external, **stranger))
    assert step is TrialStep.TLS
    assert "refuses the client certificate" in said
    step, said, mend = fails(rabbitmq("secure", **external, **shown(authority, "nobody")))
    assert (step, said) == (
        TrialStep.LOGIN,
        "The broker refuses the login by the client certificate.",
    )
    assert "ssl_cert_login_from" in mend


def test_a_wrong_password_is_said_and_never_shown(rabbitmq: Any, fails: Any) -> None:
    step, said, mend = fails(rabbitmq("plain", username="reader", password="no-such-secret"))
    assert (step, said) == (TrialStep.LOGIN, "The broker refuses the login as reader.")
    assert "no-such-secret" not in said + mend


def test_a_virtual_host_that_is_not_there_or_not_ours(rabbitmq: Any, fails: Any) -> None:
    step, said, _ = fails(rabbitmq("plain", vhost="/nowhere", **READER))
    assert (step, said) == (TrialStep.PERMISSION, "There is no virtual host 'nowhere'.")
    outsider = {"username": "outsider", "password": USERS["outsider"]}
    step, said, mend = fails(rabbitmq("plain", **outsider))
    assert (step, said) == (TrialStep.PERMISSION, "The user may not use the virtual host '/'.")
    assert "set_permissions" in mend


def test_a_queue_that_may_not_be_read(rabbitmq: Any, fails: Any) -> None:
    step, said, mend = fails(rabbitmq("plain", **READER), "secret")
    assert (step, said) == (TrialStep.PERMISSION, "The user may not read the queue 'secret'.")
    assert "must match secret" in mend


def test_a_queue_that_is_not_there(rabbitmq: Any, fails: Any) -> None:
    step, said, mend = fails(rabbitmq("plain", **READER), "missing")
    assert (step, said) == (TrialStep.STREAM, "There is no queue 'missing' in this virtual host.")
    assert "Declare it" in mend
