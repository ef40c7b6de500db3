"""Reads an HTTP/1.1 request from a socket.

This is our own code because no library fits. With h11 or http.server, the framing alone costs more
than the whole front may add to a query, and both copy the body. httptools (0.9) is fast, but can't
be told to ignore upgrades. It assumes that a POST offering an upgrade has no body, and would read
its body as the next request; Java's HttpClient and ``curl --http2`` send such requests. It also
refuses addresses with letters beyond ASCII, which ClickHouse accepts. It has neither a limit on the
size of heads nor a stop between two requests, so we would need as much code around it.
"""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote_plus

from millrace.embedded.clickhouse.errors import BadRequest, Disconnected

#: The largest head of a request, in bytes. clickhouse-connect puts parameters into the address.
MAX_HEAD = 1 << 20
#: Bytes to read from the socket at once.
READ = 1 << 20
#: Seconds that a client may take to send a request's head, or the next bytes of its body.
PATIENCE = 30.0
#: The slowest body in bytes per second, checked after PATIENCE seconds of waiting for it.
SLOWEST = 1000
#: The largest trailers (the lines after a chunked body) in bytes. They are ignored.
MAX_TRAILERS = 64 << 10
#: Bytes of an unneeded body to read and drop, so that the connection can be kept.
DRAIN = 16 << 20
_LENGTH = re.compile(r"[0-9]{1,18}")
#: A chunk's size, and the extension that may follow it.
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;|\Z)")
#: What may stand between header lines alone; other servers end a line there.
_BREAKS = re.compile(r"[\r\n\0]")
#: Headers that determine where a body ends. Each may occur only once.
_FRAMING = ("content-length", "transfer-encoding")


class SocketReader:
    """A socket, with the bytes that were read ahead."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._ahead = b""
        self._received, self._waited = 0, 0.0

    def body_begins(self) -> None:
        """Start to measure the speed of a body."""
        self._received, self._waited = len(self._ahead), 0.0

    def _receive_body(self) -> bytes:
        """The next bytes of a body; raises Disconnected if they arrive too slowly.

        All bytes count, including chunk sizes and trailers, but only the time spent waiting for
        them: a statement may take its time between two reads.
        """
        began = time.monotonic()
        data = self._receive()
        self._waited += time.monotonic() - began
        self._received += len(data)
        if self._waited > PATIENCE and self._received < self._waited * SLOWEST:
            raise Disconnected
        return data

    def _receive(self) -> bytes:
        try:
            data = self.sock.recv(READ)
        except (OSError, ValueError) as error:
            raise Disconnected from error
        if not data:
            raise Disconnected
        return data

    def head(self, idle: float) -> bytes:
        """The next request's head without its empty line; waits ``idle`` seconds for it to begin.

        Raises BadRequest and Disconnected.
        """
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
        """The next bytes of a body, at most ``most``."""
        data = self._ahead or self._receive_body()
        self._ahead = data[most:]
        return data if len(data) <= most else data[:most]

    def line(self) -> bytes:
        """The next line of a chunked body, without its line break; raises BadRequest."""
        data = self._ahead
        while (end := data.find(b"\r\n")) < 0:
            if len(data) > 8192:
                raise BadRequest(400, "A line within the body is too long.")
            data += self._receive_body()
        self._ahead = data[end + 2 :]
        return data[:end]


@dataclass
class Request:
    """The head of a request, and access to its body. Header names are in lower case."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    version: str
    reader: SocketReader
    body_read: bool = field(default=False, init=False)
    _body: Iterator[bytes] | None = field(default=None, init=False)

    def header(self, name: str) -> str:
        """A header's value; '' if it is missing."""
        return self.headers.get(name, "")

    @property
    def keep_alive(self) -> bool:
        """Whether the client wants to keep the connection for more requests."""
        wish = self.header("connection").lower()
        return "keep-alive" in wish if self.version == "HTTP/1.0" else "close" not in wish

    @property
    def has_body(self) -> bool:
        """Whether a body follows the head."""
        return self.header("content-length") not in ("", "0") or self.chunked

    @property
    def chunked(self) -> bool:
        """Whether the body comes in chunks."""
        return "transfer-encoding" in self.headers

    def body(self) -> Iterator[bytes]:
        """The body as it arrives, still encoded; each call returns the same iterator."""
        if self._body is None:
            self._body = self._stream()
        return self._body

    def _stream(self) -> Iterator[bytes]:
        if self.header("expect").lower() == "100-continue":
            self.reader.sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        self.reader.body_begins()
        yield from self._chunks() if self.chunked else self._counted()
        self.body_read = True

    def _counted(self) -> Iterator[bytes]:
        left = self._length()
        while left > 0:
            data = self.reader.some(left)
            left -= len(data)
            yield data

    def drain(self) -> bool:
        """Read the rest of the body and drop it; returns False if it is too large for that."""
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
        length = self.header("content-length") or "0"
        if not _LENGTH.fullmatch(length):
            raise BadRequest(400, "Content-Length is not a number.")
        return int(length)

    def _chunks(self) -> Iterator[bytes]:
        while left := self._chunk_size():
            while left:
                data = self.reader.some(left)
                left -= len(data)
                yield data
            if self.reader.line():
                raise BadRequest(400, "A chunk of the body is longer than its size.")
        size = 0
        while trailer := self.reader.line():
            size += len(trailer)
            if size > MAX_TRAILERS:
                raise BadRequest(431, "The trailers of the body are too large.")

    def _chunk_size(self) -> int:
        size = _CHUNK.match(self.reader.line())
        if size is None:
            raise BadRequest(400, "A chunk of the body has no size.")
        return int(size[1], 16)


def parse(head: bytes, reader: SocketReader) -> Request:
    """Parse a request's head; raises BadRequest if it is not valid HTTP/1."""
    lines = head.decode("latin-1").split("\r\n")
    if any(_BREAKS.search(line) for line in lines):
        raise BadRequest(400, "A line of the head has a line break or NUL within it.")
    words = lines[0].split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/1."):
        raise BadRequest(400, "This is not an HTTP/1.1 request.")
    headers = _headers(lines[1:])
    path, _, query = words[1].partition("?")
    try:
        pairs = dict(parse_qsl(query, keep_blank_values=True, errors="surrogateescape"))
    except ValueError:
        raise BadRequest(400, "The address has too many parameters.") from None
    return Request(words[0], unquote_plus(path), pairs, headers, words[2], reader)


def _headers(lines: list[str]) -> dict[str, str]:
    """Headers by lower-case name. Raises BadRequest unless they say where the body ends."""
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not name or name != name.strip():
            raise BadRequest(400, "A header line has no colon, or spaces around its name.")
        name = name.lower()
        if name in _FRAMING and name in headers:
            raise BadRequest(400, f"The header {name.title()} is given twice.")
        headers[name] = value.strip()
    if headers.get("transfer-encoding", "chunked").lower() != "chunked":
        raise BadRequest(501, "Transfer-Encoding is understood as chunked alone.")
    if "transfer-encoding" in headers and "content-length" in headers:
        raise BadRequest(400, "Both Transfer-Encoding and Content-Length are given.")
    return headers
