"""Writes an HTTP response: as a whole in one write, or in chunks as the result arrives."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field

from millrace.embedded.clickhouse.compression import Encoder
from millrace.embedded.clickhouse.errors import Disconnected

_REASONS = {
    200: "OK", 400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found",
    405: "Method Not Allowed", 408: "Request Timeout", 411: "Length Required",
    413: "Request Entity Too Large", 415: "Unsupported Media Type",
    431: "Request Header Fields Too Large", 500: "Internal Server Error",
    501: "Not Implemented", 503: "Service Unavailable",
}  # fmt: skip
#: The header with rows and bytes read and written. A chunked response has it as a trailer, with the
#: final numbers; ClickHouse's server only sends it before the body.
SUMMARY = "X-ClickHouse-Summary"
#: Seconds that a client may leave a result unread.
PATIENCE = 60.0


def _send(sock: socket.socket, *parts: bytes | memoryview) -> None:
    """Send the parts in one write where the socket takes them."""
    try:
        sent = sock.sendmsg(parts)
        for part in parts:
            if sent >= len(part):
                sent -= len(part)
            else:
                sock.sendall(memoryview(part)[sent:])
                sent = 0
    except (OSError, ValueError) as error:
        raise Disconnected from error


@dataclass
class Response:
    """One response. ``tag`` marks an exception that occurs after the head was sent."""

    sock: socket.socket
    version: str
    keep_alive: bool
    headers: dict[str, str] = field(default_factory=dict)
    encoder: Encoder | None = None
    tag: str = field(default_factory=lambda: secrets.token_hex(8))
    started: bool = False

    def _head(self, status: int, extra: Mapping[str, str]) -> bytes:
        lines = [f"HTTP/1.1 {status} {_REASONS.get(status, 'Error')}"]
        for name, value in {**self.headers, **extra}.items():
            lines.append(f"{name}: {value}".replace("\r", " ").replace("\n", " "))
        lines.append("Connection: Keep-Alive" if self.keep_alive else "Connection: Close")
        self.started = True
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace")

    def whole(self, status: int, data: bytes | memoryview, extra: Mapping[str, str]) -> None:
        """Send the head and all of ``data`` at once."""
        if self.encoder is not None and len(data):
            data = self.encoder.compress(data) + self.encoder.flush()
        elif self.encoder is not None:
            self.headers.pop("Content-Encoding", None)
        head = self._head(status, {**extra, "Content-Length": str(len(data))})
        self.sock.settimeout(PATIENCE)
        _send(self.sock, head, data)

    def begin(self, extra: Mapping[str, str]) -> None:
        """Send the head of a response of unknown length."""
        if self.version == "HTTP/1.0":
            self.keep_alive = False
            head = self._head(200, extra)
        else:
            chunked = {"Transfer-Encoding": "chunked", "Trailer": SUMMARY}
            head = self._head(200, {**extra, **chunked})
        self.sock.settimeout(PATIENCE)
        _send(self.sock, head)

    def write(self, data: bytes | memoryview) -> None:
        """Send a piece of the result."""
        if self.encoder is not None:
            data = self.encoder.compress(data)
        self._chunk(data)

    def _chunk(self, data: bytes | memoryview) -> None:
        if not len(data):
            return
        if self.version == "HTTP/1.0":
            _send(self.sock, data)
        else:
            _send(self.sock, b"%x\r\n" % len(data), data, b"\r\n")

    def end(self, summary: str = "") -> None:
        """Finish a response that was begun; ``summary`` is sent as a trailer."""
        if self.encoder is not None:
            self._chunk(self.encoder.flush())
        if self.version != "HTTP/1.0":
            trailer = f"{SUMMARY}: {summary}\r\n" if summary else ""
            _send(self.sock, f"0\r\n{trailer}\r\n".encode("ascii"))

    def broken(self, text: bytes) -> None:
        """Report an error after the head was sent, as ClickHouse 25.11 does.

        The message is enclosed in tags that the head announced. The body is left without its end,
        so that every client notices that something is missing.
        """
        self.keep_alive = False
        tag = self.tag.encode()
        self.write(
            b"\r\n__exception__\r\n%s\r\n%s\n%d %s\r\n__exception__\r\n"
            % (tag, text, len(text) + 1, tag)
        )
        if self.encoder is not None:
            self._chunk(self.encoder.flush())
