"""What can be wrong with how a connection logs in, field by field, before any broker is asked."""

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
#: Options of older connections, and the field of each.
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
    "ssl.key.pem is a secret, and options are stored as they are. Put the key into the client key "
    "(client_key), which is encrypted at rest, and take it out of the options."
)


def check(connection: Connection) -> dict[str, str]:
    """Of each field that is wrong, what is, and what would be right."""
    found: dict[str, str] = {}
    for rule in (_hosts, _mechanism, _login, _token, _tls, _certificates, _options):
        for field, text in rule(connection):
            found.setdefault(field, text)
    return found


def _hosts(one: Connection) -> Iterator[tuple[str, str]]:
    try:
        hosts.check_all(hosts.brokers(one.addresses, one.kind))
    except Refused as error:
        yield "addresses", str(error)
    if not one.token_url:
        return
    try:
        hosts.check_all([hosts.token_endpoint(one.token_url)])
    except Refused as error:
        yield "token_url", str(error)


def _mechanism(one: Connection) -> Iterator[tuple[str, str]]:
    mechanism = one.sasl_mechanism
    if mechanism and mechanism not in _MECHANISMS.get(one.kind, (mechanism,)):
        allowed = ", ".join(_MECHANISMS[one.kind])
        yield "sasl_mechanism", f"{one.get_kind_display()} has no {mechanism} here, but {allowed}."
    if mechanism == "EXTERNAL" and not one.client_certificate:
        yield "client_certificate", "EXTERNAL logs in by the client certificate: give one."


def _login(one: Connection) -> Iterator[tuple[str, str]]:
    mechanism = one.sasl_mechanism
    if not mechanism or mechanism == "EXTERNAL":
        return
    has_token = mechanism == "OAUTHBEARER"
    if not one.username:
        yield "username", f"{mechanism} needs {'the client id' if has_token else 'a username'}."
    if not one.password:
        yield "password", f"{mechanism} needs {'the client secret' if has_token else 'a password'}."


def _token(one: Connection) -> Iterator[tuple[str, str]]:
    if one.sasl_mechanism == "OAUTHBEARER":
        if not one.token_url:
            yield "token_url", "OAUTHBEARER needs the token endpoint of the OpenID provider."
        return
    for field in ("token_url", "token_scope"):
        if getattr(one, field):
            yield field, "Only OAUTHBEARER has it: choose that mechanism, or leave this empty."


def _tls(one: Connection) -> Iterator[tuple[str, str]]:
    if one.tls is False and (one.ca_certificate or one.client_certificate):
        yield "tls", "Certificates are of use with TLS only: turn it on, or leave them empty."


def _certificates(one: Connection) -> Iterator[tuple[str, str]]:
    for field in ("ca_certificate", "client_certificate"):
        if text := getattr(one, field):
            try:
                pem.certificates(text)
            except pem.BadPem as error:
                yield field, str(error)
    if one.client_key:
        try:
            pem.private_key(one.client_key)
        except pem.BadPem as error:
            yield "client_key", str(error)
    yield from _pair(one)


def _pair(one: Connection) -> Iterator[tuple[str, str]]:
    certificate, key = one.client_certificate, one.client_key
    if key and not certificate:
        yield "client_certificate", "The client key is nothing without its certificate: give both."
    elif certificate and not key:
        yield "client_key", "The client certificate is nothing without its key: give both."
    elif certificate and key:
        try:
            together = pem.belong_together(certificate, key)
        except pem.BadPem:
            return  # told already
        if not together:
            yield "client_key", "This key is not that of the client certificate."


def _options(one: Connection) -> Iterator[tuple[str, str]]:
    if not isinstance(one.options, dict):
        yield "options", 'Options are a JSON object, such as {"client.rack": "eu-1"}.'
        return
    if "ssl.key.pem" in one.options:
        yield "options", KEY_IN_OPTIONS
    elif fault := options.fault(one.kind, one.options):
        yield "options", f"It {fault}"
    for option, field in _FIELDS.items():
        if option in one.options and getattr(one, field) not in {None, ""}:
            text = f"{option} says the same as the field {field}, which is set: leave it out here."
            yield "options", text
