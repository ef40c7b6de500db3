"""Settings of the Kafka client: what a connection may change, and which addresses are called."""

from __future__ import annotations

from typing import Any

import pytest

from ingestion import hosts
from ingestion.connectors.kafka import config
from ingestion.errors import BrokerUnreachable, Refused
from ingestion.models import Connection

LARGEST = 4 * 1024 * 1024


@pytest.fixture(autouse=True)
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """What each name resolves to; other names to nothing."""
    known = {"a": ["192.0.2.1", "2001:db8::1"], "b": ["192.0.2.2"]}
    monkeypatch.setattr(hosts, "known", lambda place: known.get(place.host, []))
    return known


def kafka(**fields: Any) -> Connection:
    return Connection(**{"name": "k", "kind": "kafka", "addresses": "a:9092"} | fields)


# --- Addresses ----------------------------------------------------------------------------------


def test_without_tls_the_addresses_that_were_checked_are_called() -> None:
    made = config.client(kafka(addresses="a, b:9093,nowhere"))
    assert made["bootstrap.servers"] == "192.0.2.1:9092,[2001:db8::1]:9092,192.0.2.2:9093"


@pytest.mark.parametrize(
    "fields", [{"tls": True}, {"tls": False, "options": {"security.protocol": "sasl_ssl"}}]
)
def test_with_tls_the_names_stay_as_the_certificate_is_for_them(fields: dict[str, Any]) -> None:
    made = config.client(kafka(addresses="a,nowhere,b:9093", **fields))
    assert made["bootstrap.servers"] == "a:9092,b:9093"


def test_an_option_may_turn_tls_off_and_then_the_addresses_count() -> None:
    made = config.client(kafka(tls=True, options={"security.protocol": "SASL_PLAINTEXT"}))
    assert made["bootstrap.servers"] == "192.0.2.1:9092,[2001:db8::1]:9092"


def test_where_no_name_is_known_there_is_no_broker() -> None:
    with pytest.raises(BrokerUnreachable, match="None of the host names"):
        config.client(kafka(addresses="nowhere,nothing:1"))


# --- What a connection may set ------------------------------------------------------------------


def test_exactly_once_delivery_is_in_nobodys_hands_but_ours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Even if an option of that kind were allowed one day."""
    monkeypatch.setattr(config, "_refuse_unknown", lambda _: None)
    theirs = {"enable.auto.commit": True, "isolation.level": "read_uncommitted"}
    made = config.consumer(kafka(options=theirs), "g")
    assert (made["enable.auto.commit"], made["isolation.level"]) == (False, "read_committed")
    assert made["auto.offset.reset"] == "error"
    assert made["enable.partition.eof"] is True


def test_an_option_goes_before_our_tuning() -> None:
    made = config.consumer(kafka(options={"queued.min.messages": 7}), "g")
    assert (made["queued.min.messages"], made["group.id"]) == (7, "g")
    assert made["fetch.message.max.bytes"] == LARGEST


def test_a_query_gets_no_options_of_a_consumer() -> None:
    options = {"fetch.min.bytes": 1, "queued.min.messages": 7, "group.id": "g", "client.rack": "r"}
    for made in (config.admin(kafka(options=options)), config.probe(kafka(options=options))):
        assert made["client.rack"] == "r"
        assert not set(made) & {"fetch.min.bytes", "queued.min.messages", "group.id"}
    assert "bootstrap.servers" in config.admin(kafka())
    assert "bootstrap.servers" not in config.probe(kafka())


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"plugin.library.paths": "x"}, "plugin.library.paths, which is not allowed"),
        ({"ssl.key.pem": "secret"}, "options are not encrypted"),
        ({"client.rack": ["a"]}, "to a list or an object"),
    ],
)
def test_an_option_that_is_not_allowed_is_refused(options: dict[str, Any], says: str) -> None:
    with pytest.raises(Refused, match=says) as raised:
        config.client(kafka(options=options))
    assert "secret'" not in str(raised.value)


# --- Login --------------------------------------------------------------------------------------

LOGIN = {"username": "u", "password": "p"}


@pytest.mark.parametrize(
    ("fields", "protocol", "mechanism"),
    [
        ({}, "PLAINTEXT", None),
        ({"tls": True}, "SSL", None),
        (LOGIN, "SASL_SSL", "PLAIN"),
        ({**LOGIN, "tls": False}, "SASL_PLAINTEXT", "PLAIN"),
        ({**LOGIN, "sasl_mechanism": "SCRAM-SHA-256"}, "SASL_SSL", "SCRAM-SHA-256"),
    ],
)
def test_the_protocol_follows_from_login_and_tls(
    fields: dict[str, Any], protocol: str, mechanism: str | None
) -> None:
    made = config.settings(kafka(**fields))
    assert (made["security.protocol"], made.get("sasl.mechanism")) == (protocol, mechanism)
    assert ("sasl.password" in made) is (mechanism is not None)


def test_a_token_is_for_client_id_and_secret_and_has_a_scope_only_if_there_is_one() -> None:
    fields = {**LOGIN, "sasl_mechanism": "OAUTHBEARER", "token_url": "https://192.0.2.9/token"}
    made = config.settings(kafka(**fields))
    assert made["sasl.oauthbearer.client.id"] == "u"
    assert made["sasl.oauthbearer.client.secret"] == "p"
    assert made["sasl.oauthbearer.token.endpoint.url"] == "https://192.0.2.9/token"
    assert not {"sasl.username", "sasl.password", "sasl.oauthbearer.scope"} & set(made)
    scoped = config.settings(kafka(**fields, token_scope="s"))
    assert scoped["sasl.oauthbearer.scope"] == "s"


def test_a_token_endpoint_is_checked_like_a_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    checked: list[str] = []
    monkeypatch.setattr(hosts, "check_all", lambda places: checked.extend(map(str, places)))
    config.settings(kafka(**LOGIN, token_url="https://idp.example/token"))
    assert checked == ["idp.example:443"]


def test_certificates_that_there_are_not_are_not_set() -> None:
    made = config.settings(kafka(ca_certificate="ca", client_key="key"))
    assert (made["ssl.ca.pem"], made["ssl.key.pem"]) == ("ca", "key")
    assert "ssl.certificate.pem" not in made


# --- Many partitions ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("partitions", "wait", "each"),
    [
        (63, None, LARGEST),
        (64, 256, 1024 * 1024),
        (100, 400, 64 * 1024 * 1024 // 100),
        (1_000, 1_000, 67_108),
        (4_096, 1_000, 64 * 1024),
    ],
)
def test_the_more_partitions_the_longer_a_fetch_waits_and_the_less_it_brings_of_each(
    partitions: int, wait: int | None, each: int
) -> None:
    made = config.for_partitions(config.consumer(kafka(), "g"), partitions)
    assert made.get("fetch.wait.max.ms") == wait
    assert made["fetch.message.max.bytes"] == each
    assert ("fetch.min.bytes" in made) is (wait is not None)


def test_what_the_connection_sets_holds_for_many_partitions_too() -> None:
    options = {"fetch.wait.max.ms": 5, "fetch.message.max.bytes": 1_000}
    made = config.for_partitions(config.consumer(kafka(options=options), "g"), 4_096)
    assert (made["fetch.wait.max.ms"], made["fetch.message.max.bytes"]) == (5, 1_000)
