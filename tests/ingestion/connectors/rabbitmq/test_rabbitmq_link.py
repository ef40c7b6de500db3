"""Connecting to RabbitMQ: the addresses that are tried, the login, and who must act on an error."""

from __future__ import annotations

from typing import Any

import amqp.exceptions as amqp
import pytest
from amqp.transport import TCPTransport
from kombu.exceptions import OperationalError

from ingestion.connectors.rabbitmq import link
from ingestion.connectors.rabbitmq.secured import SecuredLink
from ingestion.errors import BrokerUnreachable, ConnectorError, Refused, StreamMissing
from ingestion.models import Connection

A, B, C = "192.168.7.1", "192.168.7.2", "192.168.7.3"


@pytest.fixture(autouse=True)
def _networks(settings: Any) -> None:
    settings.MILLRACE_CONNECTION_NETWORKS = ["private"]


@pytest.fixture
def tried(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """The addresses that are called; nothing listens at any."""
    called: list[tuple[str, int]] = []

    def refuse(_: Any, host: str, port: int, __: Any) -> None:
        called.append((host, port))
        raise ConnectionRefusedError(111, "Connection refused")

    monkeypatch.setattr(TCPTransport, "_connect", refuse)
    return called


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[SecuredLink]:
    """The links that are made, and not connected."""
    links: list[SecuredLink] = []
    monkeypatch.setattr(SecuredLink, "ensure_connection", lambda self, **_: links.append(self))
    return links


def transport(link: SecuredLink) -> dict[str, Any]:
    """The options of its transport."""
    return link.transport_options or {}


def rabbitmq(**fields: Any) -> Connection:
    return Connection(**{"name": "r", "kind": "rabbitmq", "addresses": A} | fields)


# --- Addresses ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("addresses", "expected"),
    [
        (A, [(A, 5672)] * 2),
        (f"{A},{B}:5673", [(A, 5672), (B, 5673)]),
        (f"{A},{B},{C}:5674/orders", [(A, 5672), (B, 5672), (C, 5674)]),
        # What stands behind a comma may be nothing, which is no address: least of all localhost.
        (f" {A} , ,{B},", [(A, 5672), (B, 5672)]),
    ],
)
def test_each_address_is_tried_before_the_broker_counts_as_away(
    addresses: str, expected: list[tuple[str, int]], tried: list[tuple[str, int]]
) -> None:
    with pytest.raises(BrokerUnreachable, match="Connection refused"):
        link.connect(rabbitmq(addresses=addresses))
    assert tried == expected


@pytest.mark.parametrize("addresses", ["127.0.0.1", "169.254.169.254", f"{A}/a;amqp://localhost"])
def test_an_address_that_is_off_limits_is_never_called(
    addresses: str, tried: list[tuple[str, int]]
) -> None:
    with pytest.raises(Refused):
        link.connect(rabbitmq(addresses=addresses))
    assert tried == []


# --- What the client is told --------------------------------------------------------------------


def test_a_login_is_quoted_and_the_virtual_host_is_the_one_named(
    opened: list[SecuredLink],
) -> None:
    link.connect(rabbitmq(addresses=f"{A}:1/a b", username="me@x", password="p/:;?"))
    (made,) = opened
    assert (made.userid, made.password) == ("me@x", "p/:;?")
    assert (made.hostname, made.port, made.virtual_host) == (A, 1, "a b")


def test_without_a_login_the_brokers_own_guest_and_virtual_host_are_meant(
    opened: list[SecuredLink],
) -> None:
    link.connect(rabbitmq())
    (made,) = opened
    assert (made.userid, made.password, made.virtual_host) == ("guest", "guest", "/")
    assert made.login_method is None
    assert transport(made)["context"] is None


def test_tls_is_by_our_context_unless_an_older_connection_has_settings_of_its_own(
    opened: list[SecuredLink],
) -> None:
    link.connect(rabbitmq(tls=True))
    link.connect(rabbitmq(options={"ssl": {"ca_certs": "/ca"}}))
    link.connect(rabbitmq(options={"ssl": True}))
    ours, own, flagged = opened
    assert (transport(ours)["context"].verify_mode.name, ours.ssl) == (
        "CERT_REQUIRED",
        False,
    )
    assert (transport(own)["context"], own.ssl) == (None, {"ca_certs": "/ca"})
    assert transport(flagged)["context"] is not None


def test_a_broker_that_falls_silent_is_not_waited_for_without_end(
    opened: list[SecuredLink],
) -> None:
    link.connect(rabbitmq())
    (made,) = opened
    assert (made.connect_timeout, made.heartbeat) == (link.TIMEOUT, link.HEARTBEAT)
    assert transport(made)["read_timeout"] == link.ANSWER
    assert transport(made)["write_timeout"] == link.ANSWER


def test_the_mechanism_is_the_fields_before_an_older_option(opened: list[SecuredLink]) -> None:
    link.connect(rabbitmq(options={"login_method": "PLAIN"}))
    link.connect(rabbitmq(sasl_mechanism="EXTERNAL", options={"login_method": "PLAIN"}))
    assert [one.login_method for one in opened] == ["PLAIN", "EXTERNAL"]


def test_an_option_that_is_not_allowed_is_refused(opened: list[SecuredLink]) -> None:
    with pytest.raises(Refused, match="sets heartbeat"):
        link.connect(rabbitmq(options={"heartbeat": 0}))
    assert opened == []


# --- Errors -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (amqp.NotFound("no queue"), StreamMissing),
        (amqp.ConsumerCancelled("deleted"), StreamMissing),
        (amqp.AccessRefused("no"), Refused),
        (amqp.NotAllowed("vhost"), Refused),
        (amqp.ResourceLocked("exclusive"), Refused),
        (amqp.PreconditionFailed("argument"), Refused),
        (amqp.AMQPNotImplementedError("540"), Refused),
        (amqp.ConnectionForced("shutting down"), BrokerUnreachable),
        (amqp.InternalError("541"), BrokerUnreachable),
        (OperationalError("away"), BrokerUnreachable),
        (ConnectionResetError("reset"), BrokerUnreachable),
        (TimeoutError(), BrokerUnreachable),
    ],
)
def test_an_error_says_who_must_act(error: Exception, kind: type[ConnectorError]) -> None:
    with (
        pytest.raises(ConnectorError, match=r"^Queue 'q'.* at here") as raised,
        link.translated("Queue 'q'", "here"),
    ):
        raise error
    assert type(raised.value) is kind
    assert raised.value.__cause__ is error


def test_an_error_without_a_word_goes_by_its_name() -> None:
    with (
        pytest.raises(BrokerUnreachable, match="TimeoutError"),
        link.translated("Queue 'q'", "here"),
    ):
        raise TimeoutError


def test_a_mistake_of_our_own_is_no_fault_of_the_brokers() -> None:
    with pytest.raises(KeyError), link.translated("Queue 'q'", "here"):
        raise KeyError("x")
