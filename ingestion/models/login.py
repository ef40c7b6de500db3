"""Validates a connection's login, TLS and option fields, without contacting a broker."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ingestion import hosts, pem
from ingestion.errors import Refused
from ingestion.models import options

if TYPE_CHECKING:
    from ingestion.models.connection import Connection

_PASSWORDS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
_MECHANISMS = {"kafka": (*_PASSWORDS, "OAUTHBEARER"), "rabbitmq": ("PLAIN", "EXTERNAL")}
#: Options of older connections, and the field that has replaced each.
_FIELDS = {
    "security.protocol": "tls",
    "ssl": "tls",
    "sasl.mechanism": "sasl_mechanism",
    "sasl.mechanisms": "sasl_mechanism",
    "login_method": "sasl_mechanism",
    "ssl.ca.pem": "ca_certificate",
    "ssl.ca.location": "ca_certificate",
    "ssl.certificate.pem": "client_certificate",
}
KEY_IN_OPTIONS = (
    "ssl.key.pem is a secret, and options are not encrypted. Move the key to the client key "
    "(client_key), which is encrypted at rest."
)


def check(connection: Connection) -> dict[str, str]:
    """The first error of each invalid field, by the field's name."""
    errors: dict[str, str] = {}
    for rule in (_hosts, _mechanism, _login, _token, _tls, _certificates, _options):
        for field, text in rule(connection):
            errors.setdefault(field, text)
    return errors


def _hosts(connection: Connection) -> Iterator[tuple[str, str]]:
    try:
        hosts.check_all(hosts.brokers(connection.addresses, connection.kind))
    except Refused as error:
        yield "addresses", str(error)
    if not connection.token_url:
        return
    try:
        hosts.check_all([hosts.token_endpoint(connection.token_url)])
    except Refused as error:
        yield "token_url", str(error)


def _mechanism(connection: Connection) -> Iterator[tuple[str, str]]:
    mechanism = connection.sasl_mechanism
    if mechanism and mechanism not in _MECHANISMS.get(connection.kind, (mechanism,)):
        allowed = ", ".join(_MECHANISMS[connection.kind])
        text = f"{connection.get_kind_display()} does not support {mechanism}. Choose {allowed}."
        yield "sasl_mechanism", text
    if mechanism == "EXTERNAL" and not connection.client_certificate:
        yield "client_certificate", "EXTERNAL logs in with a client certificate. Enter one."


def _login(connection: Connection) -> Iterator[tuple[str, str]]:
    mechanism = connection.sasl_mechanism
    if not mechanism or mechanism == "EXTERNAL":
        return
    has_token = mechanism == "OAUTHBEARER"
    if not connection.username:
        yield "username", f"{mechanism} needs {'the client id' if has_token else 'a username'}."
    if not connection.password:
        yield "password", f"{mechanism} needs {'the client secret' if has_token else 'a password'}."


def _token(connection: Connection) -> Iterator[tuple[str, str]]:
    if connection.sasl_mechanism == "OAUTHBEARER":
        if not connection.token_url:
            yield "token_url", "OAUTHBEARER needs the token endpoint of the OpenID provider."
        return
    for field in ("token_url", "token_scope"):
        if getattr(connection, field):
            yield field, "Only OAUTHBEARER uses this. Choose that mechanism, or leave it empty."


def _tls(connection: Connection) -> Iterator[tuple[str, str]]:
    if connection.tls is False and (connection.ca_certificate or connection.client_certificate):
        yield "tls", "Certificates need TLS. Turn TLS on, or leave the certificates empty."


def _certificates(connection: Connection) -> Iterator[tuple[str, str]]:
    for field in ("ca_certificate", "client_certificate"):
        if text := getattr(connection, field):
            try:
                pem.certificates(text)
            except pem.BadPem as error:
                yield field, str(error)
    if connection.client_key:
        try:
            pem.private_key(connection.client_key)
        except pem.BadPem as error:
            yield "client_key", str(error)
    yield from _pair(connection)


def _pair(connection: Connection) -> Iterator[tuple[str, str]]:
    certificate, key = connection.client_certificate, connection.client_key
    if key and not certificate:
        yield "client_certificate", "The client key needs its certificate. Enter both."
    elif certificate and not key:
        yield "client_key", "The client certificate needs its key. Enter both."
    elif certificate and key:
        try:
            together = pem.belong_together(certificate, key)
        except pem.BadPem:
            return  # _certificates reports it.
        if not together:
            yield "client_key", "This key does not belong to the client certificate."


def _options(connection: Connection) -> Iterator[tuple[str, str]]:
    if not isinstance(connection.options, dict):
        yield "options", 'Options must be a JSON object, such as {"client.rack": "eu-1"}.'
        return
    if "ssl.key.pem" in connection.options:
        yield "options", KEY_IN_OPTIONS
    elif fault := options.fault(connection.kind, connection.options):
        yield "options", f"It {fault}"
    for option, field in _FIELDS.items():
        if option in connection.options and getattr(connection, field) not in {None, ""}:
            text = f"Remove {option}: the field {field} sets the same, and is not empty."
            yield "options", text
