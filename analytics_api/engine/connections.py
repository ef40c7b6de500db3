"""Open connections to ClickHouse, used again by whoever comes next.

The standard library's ``http.client`` costs half of what urllib3 does for a small answer, and half
of the rest is its reading of the headers as an e-mail's; so a response here reads its own.
"""

from __future__ import annotations

import http.client
import os
import socket
import ssl
import time
from functools import lru_cache
from urllib.parse import unquote, urlsplit

from django.conf import settings

#: Seconds after which an idle connection is not trusted any more (ClickHouse closes at 10 or 30).
IDLE_SECONDS = 5.0
#: Idle connections kept by one process.
POOL_SIZE = 32
_MAX_LINE = 65_536
_MAX_HEADERS = 200


class Response(http.client.HTTPResponse):
    """``http.client``'s response with its headers in ``fields``, by names in lower case."""

    fields: dict[str, str]

    def begin(self) -> None:
        version, status, reason = self._read_status()  # type: ignore[attr-defined]
        self.code = self.status = status
        self.reason = reason
        self.version = 10 if version == "HTTP/1.0" else 11
        self.fields = self._read_fields()
        # What the base class needs to read the body.
        self.headers = self.msg = http.client.HTTPMessage()
        self.chunked = self.fields.get("transfer-encoding", "").lower() == "chunked"
        self.chunk_left = None
        length = self.fields.get("content-length")
        self.length = int(length) if length and not self.chunked else None
        keep = self.fields.get("connection", "").lower() != "close" and self.version == 11
        self.will_close = not keep or (not self.chunked and self.length is None)

    def _read_fields(self) -> dict[str, str]:
        fields: dict[str, str] = {}
        for _ in range(_MAX_HEADERS):
            line = self.fp.readline(_MAX_LINE + 1)
            if line in (b"\r\n", b"\n"):
                return fields
            name, colon, value = line.decode("latin-1").partition(":")
            if not colon or len(line) > _MAX_LINE:
                break
            fields[name.lower()] = value.strip()
        msg = "ClickHouse's answer has headers that can't be read."
        raise http.client.HTTPException(msg)


class Pool:
    """Connections to one server. ``acquire`` and ``release`` are safe in threads."""

    def __init__(self, url: str, timeout: float) -> None:
        parts = urlsplit(url)
        self.secure = parts.scheme in ("https", "clickhouses", "clickhouse+https")
        self.secure = self.secure or parts.port in (8443, 9440)
        self.host = unquote(parts.hostname or "localhost")
        self.port = parts.port or (8443 if self.secure else 8123)
        self.timeout = timeout
        self.path = parts.path.rstrip("/") + "/"
        self._idle: list[tuple[float, http.client.HTTPConnection]] = []

    def acquire(self) -> tuple[http.client.HTTPConnection, bool]:
        """A connection, and whether it was used before; raises OSError."""
        while self._idle:
            try:
                since, connection = self._idle.pop()
            except IndexError:
                break
            if time.monotonic() - since < IDLE_SECONDS:
                return connection, True
            connection.close()
        return self.fresh(), False

    def fresh(self) -> http.client.HTTPConnection:
        """A new connection; raises OSError."""
        connection = (
            http.client.HTTPSConnection(
                self.host, self.port, timeout=self.timeout, context=_tls_context()
            )
            if self.secure
            else http.client.HTTPConnection(self.host, self.port, timeout=self.timeout)
        )
        connection.connect()
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def release(self, connection: http.client.HTTPConnection) -> None:
        """Give back a connection whose answer was read to its end."""
        if len(self._idle) < POOL_SIZE:
            self._idle.append((time.monotonic(), connection))
        else:
            connection.close()


@lru_cache(maxsize=1)
def _tls_context() -> ssl.SSLContext:
    return ssl.create_default_context()


@lru_cache(maxsize=4)
def _pool(url: str, timeout: float, pid: int) -> Pool:
    return Pool(url, timeout)


def pool() -> Pool:
    """The connections of this process to the server of CLICKHOUSE_URL."""
    timeout = settings.MILLRACE_QUERY_SECONDS + 15.0
    return _pool(settings.CLICKHOUSE_URL, timeout, os.getpid())
