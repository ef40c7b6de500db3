"""Connections lead to brokers alone: looked at when saved, and again when used."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.core.exceptions import ValidationError

from ingestion import hosts
from ingestion.connectors.connection_trial import StepFailed
from ingestion.connectors.kafka import config
from ingestion.connectors.network import Approach
from ingestion.connectors.rabbitmq import link
from ingestion.connectors.rabbitmq.probe import GREETING
from ingestion.errors import BrokerUnreachable, Refused
from ingestion.models import Connection
from millrace.embedded import service_urls
from tests.security import attacks
from tests.security.tally import Tally

pytestmark = pytest.mark.security

_TOKENS = {"sasl_mechanism": "OAUTHBEARER", "username": "u", "password": "p"}


@pytest.fixture(autouse=True)
def as_in_production(settings: Any) -> None:
    settings.MILLRACE_CONNECTION_NETWORKS = ["private"]


def _ports() -> dict[str, str]:
    urls = service_urls.urls()
    names = {
        "postgres": "DATABASE_URL",
        "clickhouse": "CLICKHOUSE_URL",
        "valkey": "CACHE_URL",
        "web": "WEB_URL",
    }
    return {name: str(urlsplit(urls[url]).port) for name, url in names.items()}


def _connection(kind: str, address: str) -> Connection:
    for name, port in _ports().items():
        address = address.replace("{" + name + "}", port)
    if kind == "token":
        fields: dict[str, Any] = _TOKENS | {"token_url": address}
        return Connection(name="c", kind="kafka", addresses="192.0.2.1:9092", **fields)
    return Connection(name="c", kind=kind, addresses=address)


def _saves(connection: Connection) -> bool:
    try:
        connection.full_clean(validate_unique=False, validate_constraints=False)
    except ValidationError:
        return False
    return True


def _connects(connection: Connection) -> bool:
    """Whether the client gets as far as to call somebody."""
    try:
        if connection.kind == "kafka":
            config.client(connection)
        else:
            link.connect(connection).release()
    except Refused:
        return False
    except BrokerUnreachable:
        return True
    return True


def _attack(tally: Tally) -> None:
    for attack in attacks.of("hostnames"):
        connection = _connection(*attack.parts())
        tally.note("saving", attack, "a connection" if _saves(connection) else "")
        tally.note("connecting", attack, "a call" if _connects(connection) else "")


def test_no_connection_leads_to_the_platform_or_the_metadata(db: None, tally: Tally) -> None:
    _attack(tally)
    assert not tally.at("saving")
    assert not tally.at("connecting")


def test_a_policy_taken_away_is_seen(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hosts, "_judge", lambda *_: None)
    monkeypatch.setattr(link, "TIMEOUT", 0.2)
    own = Tally()
    for attack in attacks.of("hostnames"):
        if "| kafka |" in f"| {attack.text}":
            own.note("saving", attack, "one" if _saves(_connection(*attack.parts())) else "")
    assert len(own.leaks) > 20


@pytest.mark.parametrize(
    ("networks", "address"),
    [
        (["private"], "10.1.2.3:9092"),
        (["private"], "[fd12::1]:9092"),
        ([], "93.184.216.34:9092"),
        (["10.0.0.0/8"], "10.9.9.9:9092"),
        (["loopback"], "127.0.0.1:9092"),
        (["127.0.0.1:{clickhouse}"], "127.0.0.1:{clickhouse}"),
        (["169.254.7.7"], "169.254.7.7:9092"),
    ],
)
def test_what_the_operator_opens_is_open(networks: list[str], address: str, settings: Any) -> None:
    ports = _ports()
    settings.MILLRACE_CONNECTION_NETWORKS = [one.format(**ports) for one in networks]
    assert _saves(_connection("kafka", address))
    assert _connects(_connection("kafka", address))


@pytest.mark.parametrize(
    ("networks", "address"),
    [
        ([], "10.1.2.3:9092"),
        (["10.0.0.0/8"], "192.168.1.1:9092"),
        (["loopback"], "127.0.0.1:{clickhouse}"),
        (["loopback", "private", "127.0.0.0/8"], "127.0.0.1:{postgres}"),
        (["127.0.0.1:{clickhouse}"], "127.0.0.1:{postgres}"),
    ],
)
def test_what_the_operator_has_not_opened_stays_shut(
    networks: list[str], address: str, settings: Any
) -> None:
    ports = _ports()
    settings.MILLRACE_CONNECTION_NETWORKS = [one.format(**ports) for one in networks]
    assert not _saves(_connection("kafka", address))
    assert not _connects(_connection("kafka", address))


def _resolving(answers: list[str]) -> Callable[..., list[tuple[Any, ...]]]:
    """A name server whose owner changes its answer from one question to the next."""
    asked = iter(answers)
    last = answers[-1]
    real = socket.getaddrinfo

    def resolve(host: str, port: int, *rest: Any, **named: Any) -> list[tuple[Any, ...]]:
        if host != "rebound.example":
            return real(host, port, *rest, **named)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (next(asked, last), port))]

    return resolve


@contextmanager
def _listening() -> Iterator[tuple[int, list[bytes]]]:
    """Something on the loopback, and what it was sent."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        got: list[bytes] = []

        def serve() -> None:
            try:
                while True:
                    one, _ = server.accept()
                    got.append(b"called")
                    one.close()
            except OSError:
                return

        threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1], got


def test_a_name_bound_anew_between_saving_and_connecting_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with _listening() as (port, got):
        for kind in ("kafka", "rabbitmq"):
            with monkeypatch.context() as patched:
                answers = ["93.184.216.34", "127.0.0.1"]
                patched.setattr(socket, "getaddrinfo", _resolving(answers))
                connection = _connection(kind, f"rebound.example:{port}")
                assert _saves(connection)
                assert not _connects(connection)
        assert not got


def test_a_name_bound_anew_between_the_look_and_the_call_is_not_followed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The client is given the address that was looked at, at which nobody is."""
    monkeypatch.setattr(link, "TIMEOUT", 0.3)
    with _listening() as (port, got):
        with monkeypatch.context() as patched:
            patched.setattr(socket, "getaddrinfo", _resolving(["203.0.113.1", "127.0.0.1"]))
            servers = config.client(_connection("kafka", f"rebound.example:{port}"))
            assert servers["bootstrap.servers"] == f"203.0.113.1:{port}"
        with monkeypatch.context() as patched:
            patched.setattr(socket, "getaddrinfo", _resolving(["203.0.113.1", "127.0.0.1"]))
            _connects(_connection("rabbitmq", f"rebound.example:{port}"))
        assert not got


def test_a_trial_calls_only_what_was_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    with _listening() as (port, got):
        way = Approach("rebound.example", port, GREETING, None, has_certificate=False)
        monkeypatch.setattr(socket, "getaddrinfo", _resolving(["93.184.216.34", "127.0.0.1"]))
        with pytest.raises(StepFailed, match="loopback address"):
            way.steps[0][1]()
        assert not got


def test_a_broker_that_sends_us_on_to_the_platform_is_not_followed() -> None:
    """Kafka's answers name further brokers, and whoever runs one may name anything."""
    from types import SimpleNamespace as Some

    from ingestion.connectors.kafka.connector import _check_leaders

    port = int(_ports()["clickhouse"])
    for host in ("127.0.0.1", "169.254.169.254", "localhost"):
        leader = Some(host=host, port=port)
        with pytest.raises(Refused):
            _check_leaders(Some(partitions=[Some(leader=leader)]))
