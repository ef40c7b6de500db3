"""The client's settings (github.com/confluentinc/librdkafka/blob/master/CONFIGURATION.md)."""

from __future__ import annotations

from typing import Any

from ingestion.errors import Refused
from ingestion.models import Connection

#: What keeps both cores busy: by default librdkafka pauses a second whenever its queue is full.
_FETCH = {
    "fetch.queue.backoff.ms": 2,
    "fetch.error.backoff.ms": 100,
    "fetch.message.max.bytes": 4 * 1024 * 1024,
    "queued.min.messages": 200_000,
    # Of one source, all partitions together: what bounds a consumer's memory.
    "queued.max.messages.kbytes": 48 * 1024,
}
#: What exactness stands on; no option of a connection can change it.
_OURS = {
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
    "auto.offset.reset": "error",
    "isolation.level": "read_committed",
    "allow.auto.create.topics": False,
}
#: Options that a connection may set. librdkafka has others that load libraries and run commands.
_ALLOWED = frozenset(
    {
        "broker.address.family",
        "client.id",
        "client.rack",
        "enable.ssl.certificate.verification",
        "fetch.max.bytes",
        "fetch.message.max.bytes",
        "fetch.min.bytes",
        "fetch.wait.max.ms",
        "group.id",
        "metadata.max.age.ms",
        "queued.max.messages.kbytes",
        "queued.min.messages",
        "receive.message.max.bytes",
        "sasl.mechanism",
        "sasl.mechanisms",
        "security.protocol",
        "socket.connection.setup.timeout.ms",
        "socket.timeout.ms",
        "ssl.ca.location",
        "ssl.ca.pem",
        "ssl.certificate.pem",
        "ssl.endpoint.identification.algorithm",
        "ssl.key.pem",
    }
)


def client(connection: Connection) -> dict[str, Any]:
    """What every client of this connection needs; raises Refused for an option not allowed."""
    if unknown := sorted(set(connection.options) - _ALLOWED):
        msg = (
            f"The connection {connection} sets {', '.join(unknown)}, which a connection may not. "
            f"Allowed are {', '.join(sorted(_ALLOWED))}."
        )
        raise Refused(msg)
    config: dict[str, Any] = {
        "bootstrap.servers": connection.addresses,
        "client.id": "millrace",
        "socket.keepalive.enable": True,
        "reconnect.backoff.ms": 250,
        "reconnect.backoff.max.ms": 2_000,
        # Lost connections are told by the errors of calls; the log needs no line of each.
        "log.connection.close": False,
    }
    if connection.username:
        config |= {
            "security.protocol": "SASL_SSL",
            "sasl.mechanism": "PLAIN",
            "sasl.username": connection.username,
            "sasl.password": connection.password,
        }
    return config


def admin(connection: Connection) -> dict[str, Any]:
    """Of the client that asks for watermarks: it knows none of a consumer's options."""
    return client(connection) | {
        name: value
        for name, value in connection.options.items()
        if not name.startswith(("fetch.", "queued.", "group."))
    }


def consumer(connection: Connection, group: str) -> dict[str, Any]:
    """Of a consumer that commits its positions under ``group``, for other tools to see."""
    options: dict[str, Any] = connection.options
    return client(connection) | {"group.id": group} | _FETCH | options | _OURS
