"""Settings of the Kafka client.

See https://github.com/confluentinc/librdkafka/blob/master/CONFIGURATION.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ingestion import hosts
from ingestion.errors import BrokerUnreachable, Refused
from ingestion.models import Connection, SaslMechanism, options
from ingestion.models.login import KEY_IN_OPTIONS

#: Keeps both cores busy: by default librdkafka pauses for a second whenever its queue is full.
_FETCH = {
    "fetch.queue.backoff.ms": 2,
    "fetch.error.backoff.ms": 100,
    "fetch.message.max.bytes": 4 * 1024 * 1024,
    "queued.min.messages": 200_000,
    # For one source, all partitions together. This bounds a consumer's memory.
    "queued.max.messages.kbytes": 48 * 1024,
}
#: Exactly-once delivery depends on these; no option of a connection can change them.
_OURS = {
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
    "auto.offset.reset": "error",
    "isolation.level": "read_committed",
    "allow.auto.create.topics": False,
    # Shows that reading is past offsets that hold no message (reader.py).
    "enable.partition.eof": True,
}


def client(connection: Connection) -> dict[str, Any]:
    """The settings that every client of this connection needs.

    Raises Refused for an option or an address that is not allowed, BrokerUnreachable if no address
    can be resolved.
    """
    made = settings(connection)
    protocol = str(connection.options.get("security.protocol") or made["security.protocol"])
    return made | {"bootstrap.servers": _servers(connection, pinned="SSL" not in protocol.upper())}


def settings(connection: Connection) -> dict[str, Any]:
    """The same without the addresses; raises Refused for an option that is not allowed."""
    _refuse_unknown(connection)
    if connection.token_url:
        hosts.check_all([hosts.token_endpoint(connection.token_url)])
    return {
        "client.id": "millrace",
        "socket.keepalive.enable": True,
        # How long a half-open connection can block a topic; librdkafka's default is a minute.
        "socket.timeout.ms": 20_000,
        "reconnect.backoff.ms": 250,
        "reconnect.backoff.max.ms": 2_000,
        # Errors of calls report lost connections; the log needs no line for each.
        "log.connection.close": False,
        **_login(connection),
        **_certificates(connection),
    }


def _servers(connection: Connection, *, pinned: bool) -> str:
    """The brokers' addresses, after checking where they lead.

    ``pinned``: use the checked IP addresses, because a name may resolve to something else by the
    time librdkafka resolves it. With TLS the names stay: the certificate proves who answers.
    """
    found: list[str] = []
    for place in hosts.brokers(connection.addresses, connection.kind):
        known = [str(hosts.HostPort(address, place.port)) for address in hosts.known(place)]
        found += known if pinned or not known else [str(place)]
    if not found:
        msg = (
            f"None of the host names in {connection.addresses!r} can be resolved. Correct them, or "
            "add them to the DNS."
        )
        raise BrokerUnreachable(msg)
    return ",".join(found)


def _refuse_unknown(connection: Connection) -> None:
    if "ssl.key.pem" in connection.options:
        raise Refused(f"The connection {connection}: {KEY_IN_OPTIONS}")
    if fault := options.fault(connection.kind, connection.options):
        raise Refused(f"The connection {connection} {fault}")


def _login(connection: Connection) -> dict[str, Any]:
    mechanism = connection.sasl_mechanism or (SaslMechanism.PLAIN if connection.username else "")
    protocol = "SSL" if connection.uses_tls else "PLAINTEXT"
    if not mechanism:
        return {"security.protocol": protocol}
    login = {"security.protocol": f"SASL_{protocol}", "sasl.mechanism": str(mechanism)}
    if mechanism != SaslMechanism.OAUTHBEARER:
        return login | {
            "sasl.username": connection.username,
            "sasl.password": connection.password,
        }
    # librdkafka gets and renews the tokens (OpenID Connect's client credentials).
    login |= {
        "sasl.oauthbearer.method": "oidc",
        "sasl.oauthbearer.client.id": connection.username,
        "sasl.oauthbearer.client.secret": connection.password,
        "sasl.oauthbearer.token.endpoint.url": connection.token_url,
    }
    scope = connection.token_scope
    return login | ({"sasl.oauthbearer.scope": scope} if scope else {})


def _certificates(connection: Connection) -> dict[str, Any]:
    given = {
        "ssl.ca.pem": connection.ca_certificate,
        "ssl.certificate.pem": connection.client_certificate,
        "ssl.key.pem": connection.client_key,
    }
    return {name: text for name, text in given.items() if text}


def admin(connection: Connection) -> dict[str, Any]:
    """Settings of the client that fetches watermarks, which accepts no consumer options."""
    return client(connection) | _of_asking(connection)


def probe(connection: Connection) -> dict[str, Any]:
    """Like ``admin``, without addresses."""
    return settings(connection) | _of_asking(connection)


def _of_asking(connection: Connection) -> dict[str, Any]:
    return {
        name: value
        for name, value in connection.options.items()
        if not name.startswith(("fetch.", "queued.", "group."))
    }


def consumer(connection: Connection, group: str) -> dict[str, Any]:
    """Settings of a consumer that commits its positions to ``group``, for other tools to see."""
    own: dict[str, Any] = connection.options
    return client(connection) | {"group.id": group} | _FETCH | own | _OURS


#: From _MANY partitions on, a fetch waits for _BYTES_OF_MANY bytes, for _WAIT_A_PARTITION
#: milliseconds per partition and _LONGEST_WAIT at most. Each request and response names all
#: partitions, so one for every message would keep broker and client busy.
_MANY = 64
_BYTES_OF_MANY, _WAIT_A_PARTITION, _LONGEST_WAIT = 400_000, 4, 1_000
#: Bytes that one fetch returns for all partitions together, and for each at least. With larger
#: fetches, the backlogs of a few partitions would fill the consumer's whole memory.
_FETCHED, _LEAST_FETCHED = 64 * 1024 * 1024, 64 * 1024
_EACH = "fetch.message.max.bytes"


def for_partitions(settings: Mapping[str, Any], partitions: int) -> dict[str, Any]:
    """A consumer's settings for this number of partitions."""
    if partitions < _MANY:
        return dict(settings)
    wait = min(_LONGEST_WAIT, _WAIT_A_PARTITION * partitions)
    waiting = {"fetch.min.bytes": _BYTES_OF_MANY, "fetch.wait.max.ms": wait}
    made = waiting | dict(settings)
    if made[_EACH] == _FETCH[_EACH]:  # else it is an option of the connection
        made[_EACH] = min(_FETCH[_EACH], max(_LEAST_FETCHED, _FETCHED // partitions))
    return made
