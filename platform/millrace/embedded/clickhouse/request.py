"""An HTTP/1.1 request, read from a socket.

Own code rather than a library, by measurement: with h11 or http.server the framing alone costs
more than what the whole front may add to a query, and neither hands over a body without a copy.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote_plus

from millrace.embedded.clickhouse.errors import BadRequest, Disconnected

#: Largest head of a request, in bytes. clickhouse-connect puts parameters into the address.
MAX_HEAD = 1 << 20
#: Bytes asked of the socket at once.
READ = 1 << 20
#: Seconds that a request may take to send its head, and a body to send its next bytes.
PATIENCE = 30.0
#: A body slower than this many bytes a second is given up, once PATIENCE is over.
SLOWEST = 1000
#: Bytes of an unwanted body that are read and dropped, so that the connection can be kept.
DRAIN = 16 << 20


class SocketReader:
    """A socket with what was read ahead."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._ahead = b""

    def _receive(self) -> bytes:
        try:
            data = self.sock.recv(READ)
        except (OSError, ValueError) as error:
            raise Disconnected from error
        if not data:
            raise Disconnected
        return data

    def head(self, idle: float) -> bytes:
        """The next request's head, without its empty line. ``idle``: seconds to wait for it."""
        self.sock.settimeout(idle)
        data = self._ahead.lstrip(b"\r\n") or self._receive().lstrip(b"\r\n")
        self.sock.settimeout(PATIENCE)
        deadline = time.monotonic() + PATIENCE
        while (end := data.find(b"\r\n\r\n")) < 0:
            if len(data) > MAX_HEAD:
                raise BadRequest(431, "The head of the request is too large.")
            if time.monotonic() > deadline:
                raise Disconnected
            data += self._receive()
        self._ahead = data[end + 4 :]
        return data[:end]

    def some(self, most: int) -> bytes:
        """The next bytes, at most ``most``."""
        data = self._ahead or self._receive()
        self._ahead = data[most:]
        return data if len(data) <= most else data[:most]

    def line(self) -> bytes:
        """The next line of a chunked body, without its end."""
        data = self._ahead
        while (end := data.find(b"\r\n")) < 0:
            if len(data) > 8192:
                raise BadRequest(400, "A chunk of the body has no size.")
            data += self._receive()
        self._ahead = data[end + 2 :]
        return data[:end]

    @property
    def waiting(self) -> bool:
        """Whether bytes of a further request were already read."""
        return bool(self._ahead)


@dataclass
class Request:
    """The head of a request. Names of headers are in lower case."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    version: str
    reader: SocketReader
    body_read: bool = field(default=False, init=False)
    _body: Iterator[bytes] | None = field(default=None, init=False)

    def header(self, name: str) -> str:
        """A header's value, empty where it is missing."""
        return self.headers.get(name, "")

    @property
    def keep_alive(self) -> bool:
        """Whether the client wants to send more over this connection."""
        wish = self.header("connection").lower()
        return "keep-alive" in wish if self.version == "HTTP/1.0" else "close" not in wish

    @property
    def has_body(self) -> bool:
        """Whether a body follows the head."""
        return self.header("content-length") not in ("", "0") or self.chunked

    @property
    def chunked(self) -> bool:
        """Whether the body comes in chunks."""
        return "chunked" in self.header("transfer-encoding").lower()

    def body(self) -> Iterator[bytes]:
        """The body as it comes from the socket, still encoded; the same iterator at every call."""
        if self._body is None:
            self._body = self._stream()
        return self._body

    def _stream(self) -> Iterator[bytes]:
        if self.header("expect").lower() == "100-continue":
            self.reader.sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        began, size = time.monotonic(), 0
        for data in self._chunks() if self.chunked else self._counted():
            yield data
            size += len(data)
            took = time.monotonic() - began
            if took > PATIENCE and size < took * SLOWEST:
                raise Disconnected
        self.body_read = True

    def _counted(self) -> Iterator[bytes]:
        left = self._length()
        while left > 0:
            data = self.reader.some(left)
            left -= len(data)
            yield data

    def drain(self) -> bool:
        """Read what is left of the body and drop it; False where that is too much to ask."""
        if self.body_read or not self.has_body:
            return True
        if self.header("expect") and self._body is None:
            return False
        size = 0
        for data in self.body():
            size += len(data)
            if size > DRAIN:
                return False
        return True

    def _length(self) -> int:
        try:
            length = int(self.header("content-length") or 0)
        except ValueError:
            length = -1
        if length < 0:
            raise BadRequest(400, "Content-Length is not a number.")
        return length

    def _chunks(self) -> Iterator[bytes]:
        while True:
            try:
                left = int(self.reader.line().split(b";", 1)[0], 16)
            except ValueError:
                raise BadRequest(400, "A chunk of the body has no size.") from None
            if left <= 0:
                break
            while left:
                data = self.reader.some(left)
                left -= len(data)
                yield data
            self.reader.line()
        while self.reader.line():
            pass


def parse(head: bytes, reader: SocketReader) -> Request:
    """Read a request's head; raises BadRequest for what is not HTTP/1."""
    lines = head.decode("latin-1").split("\r\n")
    words = lines[0].split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/1."):
        raise BadRequest(400, "This is not an HTTP/1.1 request.")
    headers: dict[str, str] = {}
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        if not colon or not name or name != name.strip():
            raise BadRequest(400, "A header has no colon.")
        headers[name.lower()] = value.strip()
    if "transfer-encoding" in headers and "content-length" in headers:
        raise BadRequest(400, "Both Transfer-Encoding and Content-Length are given.")
    path, _, query = words[1].partition("?")
    try:
        pairs = dict(parse_qsl(query, keep_blank_values=True, errors="surrogateescape"))
    except ValueError:
        raise BadRequest(400, "The address has too many parameters.") from None
    return Request(words[0], unquote_plus(path), pairs, headers, words[2], reader)
