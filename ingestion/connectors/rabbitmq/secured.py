"""Makes kombu and py-amqp use our own SSLContext.

By themselves they accept only files, and verify certificates only on request.
``transport_options={"context": …}`` of a SecuredLink makes it a TLS connection.
"""

from __future__ import annotations

import socket
import ssl
from typing import Any

import kombu
from amqp import Connection
from amqp.transport import SSLTransport, TCPTransport
from kombu.transport.pyamqp import Transport

from ingestion import hosts


class _Looked:
    """Connects to the addresses that were checked: by now the name may resolve to others."""

    def _connect(self, host: str, port: int, timeout: float | None) -> None:
        addresses = hosts.check(hosts.HostPort(host, int(port)))
        for number, address in enumerate(addresses, start=1):
            try:
                super()._connect(address, port, timeout)  # type: ignore[misc]
            except OSError:
                if number == len(addresses):
                    raise
            else:
                return


class _Plain(_Looked, TCPTransport):
    """AMQP over TCP."""


class _Socket(_Looked, SSLTransport):
    def _wrap_socket(
        self, sock: socket.socket, *, context: ssl.SSLContext, server_hostname: str
    ) -> ssl.SSLSocket:
        return context.wrap_socket(
            sock, server_hostname=server_hostname, do_handshake_on_connect=False
        )


class _Files(_Looked, SSLTransport):
    """AMQP over TLS with py-amqp's own settings, for older connections."""


class _Connection(Connection):
    def __init__(self, *args: Any, context: ssl.SSLContext | None = None, **named: Any) -> None:
        super().__init__(*args, **named)
        self._context = context

    def Transport(  # noqa: N802 - py-amqp's name
        self, host: str, connect_timeout: float | None, ssl: Any = False, *args: Any, **named: Any
    ) -> Any:
        read_timeout, write_timeout = args
        if self._context is None:
            kind = _Files if ssl else _Plain
            return kind(
                host,
                connect_timeout=connect_timeout,
                ssl=ssl,
                read_timeout=read_timeout,
                write_timeout=write_timeout,
                **named,
            )
        settings = {"context": self._context, "server_hostname": _name(self, host)}
        return _Socket(
            host,
            connect_timeout=connect_timeout,
            ssl=settings,
            read_timeout=read_timeout,
            write_timeout=write_timeout,
            **named,
        )


def _name(connection: Any, host: str) -> str:
    """The server name to verify. kombu has replaced localhost by an address at this point."""
    name = host.rpartition(":")[0].strip("[]")
    is_local = name == "127.0.0.1" and connection.client.was_local
    return "localhost" if is_local else name


class _Transport(Transport):
    Connection = _Connection

    def establish_connection(self) -> Any:
        link: Any = self.client
        link.was_local = link.hostname == "localhost"
        return super().establish_connection()


class SecuredLink(kombu.Connection):
    """A kombu connection that uses TLS if it has a context."""

    was_local = False

    def get_transport_cls(self) -> type[Transport]:
        return _Transport
