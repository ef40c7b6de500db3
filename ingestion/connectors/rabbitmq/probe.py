from __future__ import annotations

import copy
import ssl
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import amqp.exceptions as amqp
import kombu

from ingestion.connectors import connection_trial, tls
from ingestion.connectors.address import listed, split
from ingestion.connectors.connection_trial import ConnectionTrial, Probe, StepFailed, TrialStep
from ingestion.connectors.network import Approach, Greeting
from ingestion.connectors.rabbitmq import link
from ingestion.errors import ConnectorError, Refused
from ingestion.models import Connection, SaslMechanism, Source

#: AMQP 0-9-1's protocol header; the broker answers with a method frame on channel 0.
GREETING = Greeting("RabbitMQ", b"AMQP\x00\x00\x09\x01", lambda answer: answer[:3] == b"\x01\0\0")
_STEPS = (TrialStep.NAME, TrialStep.ROUTE, TrialStep.TLS, TrialStep.LOGIN, TrialStep.PERMISSION)
_THREADS = 8


class RabbitProbe(Probe):
    """Tests each address, and whether its virtual host may be used."""

    stream_word = "queue"

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self._context = _context(connection) if connection.uses_tls else None
        self._good: kombu.Connection | None = None

    def addresses(self) -> list[ConnectionTrial]:
        with ThreadPoolExecutor(_THREADS) as pool:
            found = list(pool.map(self._try, listed(self.connection.addresses)))
        links = [link for _, link in found if link is not None]
        self._good = links[0] if links else None
        for other in links[1:]:
            other.release()
        return [one for one, _ in found]

    @property
    def is_in(self) -> bool:
        return self._good is not None

    def _try(self, address: str) -> tuple[ConnectionTrial, kombu.Connection | None]:
        server, _, vhost = address.partition("/")
        try:
            host, port = split(server, 5672)
        except StepFailed as error:
            return connection_trial.failed(address, _STEPS, error), None
        way = Approach(
            host,
            port,
            GREETING,
            self._context,
            has_certificate=bool(self.connection.client_certificate),
        )
        entry = _Entry(self.connection, address, vhost or "/")
        steps = [
            *way.steps,
            (TrialStep.LOGIN, entry.login),
            (TrialStep.PERMISSION, entry.permission),
        ]
        try:
            return connection_trial.run(address, steps), entry.link
        finally:
            way.close()

    def stream(self, name: str, sources: Collection[Source]) -> ConnectionTrial:
        steps = [
            (TrialStep.PERMISSION, lambda: self._permission(name)),
            (TrialStep.STREAM, lambda: self._queue(name)),
        ]
        return connection_trial.run(name, steps)

    def _permission(self, name: str) -> str:
        """Check the read permission without taking a message.

        Consumes with an invalid argument: the broker checks it after the permission, and refuses
        it before it delivers anything.
        """
        try:
            self._channel().basic_consume(name, arguments={"x-priority": "none"})
        except amqp.PreconditionFailed:
            return "It may be read."
        except amqp.NotFound:
            return "Nothing forbids it."
        except amqp.AccessRefused as error:
            said = f"The user may not read the queue {name!r}."
            mend = (
                "Grant read on it: the last of the user's three patterns (rabbitmqctl "
                f"list_permissions, set_permissions) must match {name}."
            )
            raise StepFailed(said, mend) from error
        except (amqp.AMQPError, OSError) as error:
            raise _unexpected(error) from error
        return "It may be read."

    def _queue(self, name: str) -> str:
        try:
            found = self._channel().queue_declare(name, passive=True)
        except amqp.NotFound as error:
            said = f"There is no queue {name!r} in this virtual host."
            mend = (
                "Declare it, or correct the name in the source or the virtual host. Names are "
                "case-sensitive."
            )
            raise StepFailed(said, mend) from error
        except (amqp.AMQPError, OSError) as error:
            raise _unexpected(error) from error
        return f"It exists, with {found.message_count:,} messages ready."

    def _channel(self) -> Any:
        if self._good is None:
            raise RuntimeError("Queues are tried after the addresses.")
        return self._good.channel()

    def close(self) -> None:
        if self._good is not None:
            self._good.release()


class _Entry:
    """The login at one address; in AMQP it is one step with opening the virtual host."""

    def __init__(self, connection: Connection, address: str, vhost: str) -> None:
        self._connection = copy.copy(connection)
        self._connection.addresses = address
        self._vhost = vhost
        self._user = connection.username or "guest"
        self.link: kombu.Connection | None = None
        self._forbidden: Exception | None = None

    def login(self) -> str:
        try:
            self.link = link.connect(self._connection)
        except ConnectorError as error:
            cause = error.__cause__
            if not isinstance(cause, amqp.NotAllowed):
                raise _refused(cause or error, self._as_whom) from error
            self._forbidden = cause
        return f"Logged in {self._as_whom}."

    @property
    def _as_whom(self) -> str:
        if self._connection.sasl_mechanism == SaslMechanism.EXTERNAL:
            return "by the client certificate"
        return f"as {self._user}"

    def permission(self) -> str:
        if self._forbidden is None:
            return f"The virtual host {self._vhost!r} may be used."
        if "not found" in str(self._forbidden):
            said = f"There is no virtual host {self._vhost!r}."
            mend = "Correct it in the address (host:port/virtual-host), or create it at the broker."
        else:
            said = f"The user may not use the virtual host {self._vhost!r}."
            mend = (
                "Grant it: rabbitmqctl set_permissions, with the virtual host, the user, and a "
                "pattern of the queues that may be read."
            )
        raise StepFailed(said, mend)


def _refused(cause: BaseException, as_whom: str) -> StepFailed:
    if isinstance(cause, amqp.AccessRefused):
        said = f"The broker refuses the login {as_whom}."
        mend = "Correct the username or password, or create that user at the broker."
        if as_whom.startswith("by"):
            mend = "Create a user with the name in the certificate (ssl_cert_login_from)."
        return StepFailed(said, mend)
    if "mechanism" in str(cause).lower():
        said = "The broker does not know this SASL mechanism."
        mend = "Choose PLAIN, or enable the mechanism (for EXTERNAL: rabbitmq_auth_mechanism_ssl)."
        return StepFailed(said, mend)
    said = f"The broker ends the login: {str(cause) or type(cause).__name__}."
    return StepFailed(said, "Check the broker's log.")


def _unexpected(error: Exception) -> StepFailed:
    text = str(error) or type(error).__name__
    return StepFailed(f"The query failed: {text}.", "Try again, and check the broker's log.")


def _context(connection: Connection) -> ssl.SSLContext:
    if isinstance(connection.options.get("ssl"), dict):
        msg = "The option ssl can't be tested. Set the fields for TLS instead."
        raise Refused(msg)
    return tls.context(connection)
