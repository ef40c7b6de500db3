"""What a connection may say of TLS and login, and what each kind's client is told of it."""

from __future__ import annotations

import importlib
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from django.apps import apps
from django.core.exceptions import ValidationError
from django.db import connection as database
from secured_brokers.certificates import Authority

from ingestion.connectors.kafka import config
from ingestion.errors import Refused
from ingestion.models import Connection
from ingestion.pem import BadPem, private_key

FORMAT = serialization.PrivateFormat.PKCS8
CERTIFICATE = """\
-----BEGIN CERTIFICATE-----
MIIBXzCCAQWgAwIBAgIUIvPPPoSfs5kQWGNhtyLUuUrcKh4wCgYIKoZIzj0EAwIw
"""


def key(password: bytes = b"") -> str:
    made = ec.generate_private_key(ec.SECP256R1())
    how = serialization.BestAvailableEncryption(password) if password else None
    return made.private_bytes(
        serialization.Encoding.PEM, FORMAT, how or serialization.NoEncryption()
    ).decode()


@pytest.fixture(scope="module")
def pair() -> dict[str, str]:
    made = Authority("CA").client("reader")
    return {"client_certificate": made.certificate, "client_key": made.key}


def kafka(**fields: Any) -> Connection:
    return Connection(**{"name": "k", "kind": "kafka", "addresses": "192.0.2.1:9092"} | fields)


def refused(one: Connection) -> dict[str, str]:
    with pytest.raises(ValidationError) as raised:
        one.clean()
    return {field: texts[0] for field, texts in raised.value.message_dict.items()}


LOGIN = {"username": "u", "password": "p"}


@pytest.mark.parametrize(
    ("fields", "field", "says"),
    [
        ({"addresses": " , "}, "addresses", "has no address. Write host:port"),
        ({"kind": "rabbitmq", "addresses": ","}, "addresses", "has no address. Write host:port"),
        ({"sasl_mechanism": "PLAIN", "password": "p"}, "username", "PLAIN needs a username"),
        ({"sasl_mechanism": "SCRAM-SHA-256", "username": "u"}, "password", "needs a password"),
        ({"sasl_mechanism": "OAUTHBEARER", **LOGIN}, "token_url", "needs the token endpoint"),
        ({"token_url": "https://idp/token"}, "token_url", "Only OAUTHBEARER uses this"),
        ({"sasl_mechanism": "EXTERNAL"}, "sasl_mechanism", "Kafka does not support EXTERNAL"),
        (
            {"kind": "rabbitmq", "sasl_mechanism": "SCRAM-SHA-256"},
            "sasl_mechanism",
            "RabbitMQ does not support SCRAM-SHA-256. Choose PLAIN, EXTERNAL",
        ),
        (
            {"kind": "rabbitmq", "sasl_mechanism": "EXTERNAL"},
            "client_certificate",
            "with a client certificate. Enter one",
        ),
        ({"ca_certificate": "ca.pem"}, "ca_certificate", "not a certificate in PEM form"),
        ({"ca_certificate": CERTIFICATE}, "ca_certificate", "not a certificate in PEM form"),
        ({"client_key": "no key"}, "client_key", "not a private key in PEM form"),
        ({"options": {"ssl.key.pem": "x"}}, "options", "Move the key to the client key"),
        (
            {"options": {"security.protocol": "SSL"}, "tls": False},
            "options",
            "the field tls sets the same",
        ),
        ({"options": ["x"]}, "options", "a JSON object"),
    ],
)
def test_what_is_wrong_is_said_at_its_field(fields: dict[str, Any], field: str, says: str) -> None:
    assert says in refused(kafka(**fields))[field]


def test_certificate_and_key_come_together_and_belong_together(pair: dict[str, str]) -> None:
    kafka(**pair).clean()
    certificate, own = pair["client_certificate"], pair["client_key"]
    assert "Enter both" in refused(kafka(client_certificate=certificate))["client_key"]
    assert "Enter both" in refused(kafka(client_key=own))["client_certificate"]
    other = kafka(client_certificate=certificate, client_key=key())
    assert "does not belong to the client certificate" in refused(other)["client_key"]
    locked = kafka(client_certificate=certificate, client_key=key(b"secret"))
    assert "protected by a passphrase" in refused(locked)["client_key"]
    mixed = kafka(ca_certificate=certificate + own)
    assert "contains a private key" in refused(mixed)["ca_certificate"]
    assert "Certificates need TLS" in refused(kafka(tls=False, ca_certificate=certificate))["tls"]


def test_a_key_that_is_none_is_not_repeated() -> None:
    with pytest.raises(BadPem) as raised:
        private_key("-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----")
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize(
    ("fields", "protocol"),
    [
        ({}, "PLAINTEXT"),
        ({"tls": True}, "SSL"),
        ({"username": "u", "password": "p"}, "SASL_SSL"),
        ({"username": "u", "password": "p", "tls": False}, "SASL_PLAINTEXT"),
        ({"ca_certificate": CERTIFICATE}, "SSL"),
        ({"options": {"security.protocol": "SSL"}}, "SSL"),
        ({**LOGIN, "options": {"security.protocol": "SASL_PLAINTEXT"}}, "SASL_PLAINTEXT"),
    ],
)
def test_tls_is_on_where_a_login_or_certificate_asks_for_it(
    fields: dict[str, Any], protocol: str
) -> None:
    assert config.admin(kafka(**fields))["security.protocol"] == protocol
    assert config.consumer(kafka(**fields), "g")["security.protocol"] == protocol


def test_the_options_of_an_older_connection_still_choose_its_mechanism() -> None:
    made = config.admin(kafka(**LOGIN, options={"sasl.mechanism": "SCRAM-SHA-512"}))
    assert made["sasl.mechanism"] == "SCRAM-SHA-512"


def test_a_key_in_the_options_is_refused_at_work_too() -> None:
    with pytest.raises(Refused, match="client_key") as raised:
        config.consumer(kafka(options={"ssl.key.pem": "hunter2"}), "g")
    assert "hunter2" not in str(raised.value)


def test_the_client_key_is_encrypted_at_rest(db: None, pair: dict[str, str]) -> None:
    made = kafka(**pair)
    made.save()
    with database.cursor() as cursor:
        cursor.execute("SELECT client_key FROM ingestion_connection")
        (stored,) = cursor.fetchone()
    assert "PRIVATE KEY" not in stored
    assert Connection.objects.get().client_key == pair["client_key"]


def test_keys_that_stood_in_options_move_to_where_they_are_encrypted(
    db: None, pair: dict[str, str]
) -> None:
    given = {
        "ssl.key.pem": pair["client_key"],
        "ssl.certificate.pem": pair["client_certificate"],
        "security.protocol": "SSL",
    }
    kafka(options=given).save()
    kafka(name="other", options={"ssl.ca.pem": "left"}).save()
    migration = importlib.import_module("ingestion.migrations.0008_connection_security")
    migration.out_of_options(apps, None)
    moved, other = Connection.objects.order_by("name")
    assert moved.options == {"security.protocol": "SSL"}
    assert (moved.client_key, moved.client_certificate) == tuple(reversed(pair.values()))
    assert other.options == {"ssl.ca.pem": "left"}
    moved.clean()
    migration.into_options(apps, None)
    moved.refresh_from_db()
    assert moved.options == given
