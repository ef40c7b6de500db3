"""Connects to RabbitMQ, and translates its errors into ConnectorErrors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

import amqp.exceptions as amqp
import kombu
from kombu.exceptions import OperationalError

from ingestion import hosts
from ingestion.connectors import tls
from ingestion.connectors.address import listed
from ingestion.connectors.rabbitmq.secured import SecuredLink
from ingestion.errors import BrokerUnreachable, Refused, StreamMissing
from ingestion.models import Connection, options

#: Seconds for making the connection, and the heartbeat interval: after twice that long in silence
#: either side gives up. So long a half-open connection can block a queue.
TIMEOUT, HEARTBEAT = 5, 15
#: Seconds within which the broker must answer a call, closing included, and accept what is sent.
#: Without it py-amqp would wait for ever, for example when packets are dropped on the way.
ANSWER = 20
_REFUSALS = (
    amqp.AccessRefused,
    amqp.NotAllowed,
    amqp.ResourceLocked,
    amqp.PreconditionFailed,
    amqp.AMQPNotImplementedError,
)


def connect(connection: Connection) -> kombu.Connection:
    """An open connection to the first address that answers; raises ConnectorError."""
    if fault := options.fault(connection.kind, connection.options):
        raise Refused(f"The connection {connection} {fault}")
    hosts.brokers(connection.addresses, connection.kind)
    addresses = listed(connection.addresses)
    link = SecuredLink(
        ";".join(_url(connection, address) for address in addresses),
        connect_timeout=TIMEOUT,
        heartbeat=HEARTBEAT,
        login_method=connection.sasl_mechanism or connection.options.get("login_method"),
        ssl=_own_tls(connection),
        transport_options={
            "read_timeout": ANSWER,
            "write_timeout": ANSWER,
            "context": tls.context(connection) if _uses_context(connection) else None,
        },
    )
    with translated("Connecting to RabbitMQ", connection.addresses):
        # Each retry goes to the next address; one address alone is tried twice.
        link.ensure_connection(max_retries=max(1, len(addresses) - 1), interval_start=0)
        return link


def _own_tls(connection: Connection) -> dict[str, Any] | bool:
    """py-amqp's own settings, of an older connection."""
    given = connection.options.get("ssl")
    return given if isinstance(given, dict) else False


def _uses_context(connection: Connection) -> bool:
    return connection.uses_tls and not _own_tls(connection)


def _url(connection: Connection, address: str) -> str:
    host, _, vhost = address.partition("/")
    user, password = connection.username or "guest", connection.password or "guest"
    return f"amqp://{quote(user, '')}:{quote(password, '')}@{host}/{quote(vhost or '/', '')}"


@contextmanager
def translated(what: str, where: str) -> Iterator[None]:
    """Raise our exceptions in place of the client's."""
    try:
        yield
    except (amqp.NotFound, amqp.ConsumerCancelled) as error:
        msg = f"{what}: it does not exist at {where}. Declare the queue, or correct its name."
        raise StreamMissing(msg) from error
    except _REFUSALS as error:
        raise Refused(f"{what} at {where}: {error}") from error
    except (OperationalError, amqp.AMQPError, OSError) as error:
        raise BrokerUnreachable(
            f"{what} at {where}: {str(error) or type(error).__name__}"
        ) from error
