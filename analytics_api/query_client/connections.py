"""A pool of open connections to ClickHouse.

It uses sockets and httptools, uvicorn's HTTP parser. ``http.client`` and urllib3 read the headers
of an answer in Python, line by line, which would cost time in every call.
"""

from __future__ import annotations

import os
import socket
import ssl
import time
from functools import lru_cache
from urllib.parse import unquote, urlsplit

from django.conf import settings
from httptools import HttpParserError, HttpResponseParser

#: Seconds after which an idle connection is not reused (ClickHouse closes it after 10 or 30).
IDLE_SECONDS = 5.0
#: How many idle connections one process keeps.
POOL_SIZE = 32
#: How many bytes are received from the socket at once.
RECEIVED = 64 * 1024
_MAX_HEAD = 1024 * 1024


class Broken(Exception):
    """An answer is not HTTP, or broke off. ``partial`` is the part of its body that arrived."""

    def __init__(self, message: str, partial: bytes = b"") -> None:
        super().__init__(message)
        self.partial = partial


class ResponseReader:
    """Reads one answer. ``fields`` are its headers and trailers, by names in lower case.

    Its methods raise OSError and Broken.
    """

    # Slots, since every call creates one of these.
    __slots__ = (
        *("fields", "status", "will_close", "_socket", "_parser", "_parts"),
        *("_has_head", "_is_over", "_ends_by_close"),
    )

    def __init__(self, connection: socket.socket) -> None:
        self.fields: dict[bytes, bytes] = {}
        self.status = 0
        self.will_close = True
        self._socket = connection
        self._parser = HttpResponseParser(self)
        self._parts: list[bytes] = []
        self._has_head = self._is_over = self._ends_by_close = False

    def begin(self) -> None:
        """Read the status line and the headers, and what arrives with them."""
        size = 0
        while not self._has_head:
            size += self._receive()
            if size > _MAX_HEAD:
                raise Broken("ClickHouse's answer has a head of more than a megabyte.")

    def read(self, size: int) -> bytes:
        """The next ``size`` bytes of the body; fewer at its end."""
        have = sum(map(len, self._parts))
        while have < size and not self._is_over:
            known = len(self._parts)
            self._receive()
            have += sum(map(len, self._parts[known:]))
        taken = b"".join(self._parts)
        self._parts = [taken[size:]] if have > size else []
        return taken[:size]

    def _receive(self) -> int:
        received = self._socket.recv(RECEIVED)
        if not received:
            if not self._ends_by_close:
                raise Broken("ClickHouse's answer broke off.", b"".join(self._parts))
            self._is_over = True
            return 0
        try:
            self._parser.feed_data(received)
        except HttpParserError as error:
            # A server that failed in the middle of a chunk may have written the reason there.
            raise Broken(str(error), b"".join([*self._parts, received])) from error
        return len(received)

    # --- What httptools calls -------------------------------------------------------------------

    def field(self, name: bytes) -> str:
        return self.fields.get(name, b"").decode("latin-1").strip()

    def on_message_begin(self) -> None:
        if self._is_over:  # a second answer, which nobody asked for
            self.will_close = True

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields[name.lower()] = value

    def on_headers_complete(self) -> None:
        self.status = self._parser.get_status_code()
        self.will_close = not self._parser.should_keep_alive()
        self._has_head = True
        has_end = b"content-length" in self.fields or b"transfer-encoding" in self.fields
        self._ends_by_close = not has_end

    def on_body(self, body: bytes) -> None:
        self._parts.append(body)

    def on_message_complete(self) -> None:
        self._is_over = True


class ConnectionPool:
    """Connections to one server. ``acquire`` and ``release`` are thread-safe."""

    def __init__(self, url: str, timeout: float) -> None:
        parts = urlsplit(url)
        self.secure = parts.scheme in ("https", "clickhouses", "clickhouse+https")
        self.secure = self.secure or parts.port in (8443, 9440)
        self.host = unquote(parts.hostname or "localhost")
        self.port = parts.port or (8443 if self.secure else 8123)
        self.timeout = timeout
        self.path = parts.path.rstrip("/") + "/"
        self._idle: list[tuple[float, socket.socket]] = []

    def acquire(self) -> tuple[socket.socket, bool]:
        """A connection, and whether it has been used before; raises OSError."""
        while self._idle:
            try:
                since, connection = self._idle.pop()
            except IndexError:
                break
            if time.monotonic() - since < IDLE_SECONDS:
                return connection, True
            connection.close()
        return self.fresh(), False

    def fresh(self) -> socket.socket:
        """A new connection; raises OSError."""
        connection = socket.create_connection((self.host, self.port), self.timeout)
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.secure:
                connection = _tls_context().wrap_socket(connection, server_hostname=self.host)
        except BaseException:
            connection.close()
            raise
        return connection

    def release(self, connection: socket.socket) -> None:
        """Return a connection whose answer has been read to its end."""
        if len(self._idle) < POOL_SIZE:
            self._idle.append((time.monotonic(), connection))
        else:
            connection.close()


@lru_cache(maxsize=1)
def _tls_context() -> ssl.SSLContext:
    return ssl.create_default_context()


@lru_cache(maxsize=4)
def _pool(url: str, timeout: float, pid: int) -> ConnectionPool:
    return ConnectionPool(url, timeout)


def pool() -> ConnectionPool:
    """The connections of this process to the server of CLICKHOUSE_URL."""
    timeout = settings.MILLRACE_QUERY_SECONDS + 15.0
    return _pool(settings.CLICKHOUSE_URL, timeout, os.getpid())
