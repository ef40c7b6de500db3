"""A connection to RabbitMQ, and its errors as ours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import quote

import amqp.exceptions as amqp
import kombu
from kombu.exceptions import OperationalError

from ingestion.errors import BrokerUnreachable, Refused, StreamMissing
from ingestion.models import Connection

#: Seconds for the connection to be made, and of silence after which either side gives it up.
TIMEOUT, HEARTBEAT = 5, 30
_OPTIONS = frozenset({"ssl", "prefetch", "login_method"})
_REFUSALS = (
    amqp.AccessRefused,
    amqp.NotAllowed,
    amqp.ResourceLocked,
    amqp.PreconditionFailed,
    amqp.AMQPNotImplementedError,
)


def connect(connection: Connection) -> kombu.Connection:
    """An open connection to the first address that answers; raises ConnectorError."""
    if unknown := sorted(set(connection.options) - _OPTIONS):
        msg = (
            f"The connection {connection} sets {', '.join(unknown)}, which RabbitMQ's has not. "
            f"Allowed are {', '.join(sorted(_OPTIONS))}."
        )
        raise Refused(msg)
    link = kombu.Connection(
        ";".join(_url(connection, address) for address in connection.addresses.split(",")),
        connect_timeout=TIMEOUT,
        heartbeat=HEARTBEAT,
        ssl=connection.options.get("ssl", False),
        login_method=connection.options.get("login_method"),
    )
    with translated("Connecting to RabbitMQ", connection.addresses):
        link.ensure_connection(max_retries=1, interval_start=0)
        return link


def _url(connection: Connection, address: str) -> str:
    host, _, vhost = address.strip().partition("/")
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
        raise BrokerUnreachable(f"{what} at {where}: {error or type(error).__name__}") from error
