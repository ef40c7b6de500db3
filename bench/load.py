"""Sends GET requests over several connections, one at a time on each. Needs little CPU."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from urllib.parse import urlsplit


@dataclass
class Outcome:
    """The number of answers in ``seconds``, each with the status 200."""

    answers: int
    seconds: float

    @property
    def rate(self) -> float:
        return self.answers / self.seconds


def run(url: str, headers: dict[str, str], *, connections: int, seconds: float) -> Outcome:
    """Request ``url`` for ``seconds``; raises RuntimeError for any answer other than 200."""
    parts = urlsplit(url)
    lines = [f"GET {parts.path}?{parts.query} HTTP/1.1", f"Host: {parts.netloc}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    request = ("\r\n".join(lines) + "\r\n\r\n").encode()
    return asyncio.run(_run(parts.hostname or "", parts.port or 80, request, connections, seconds))


async def _run(host: str, port: int, request: bytes, connections: int, seconds: float) -> Outcome:
    loop = asyncio.get_running_loop()
    began = time.perf_counter()
    until = began + seconds
    clients = [_Client(request, until, loop.create_future()) for _ in range(connections)]
    for client in clients:
        await loop.create_connection(lambda client=client: client, host, port)
    await asyncio.gather(*(client.done for client in clients))
    return Outcome(sum(client.answers for client in clients), time.perf_counter() - began)


class _Client(asyncio.Protocol):
    def __init__(self, request: bytes, until: float, done: asyncio.Future[None]) -> None:
        self.request, self.until, self.done = request, until, done
        self.answers, self.held, self.length = 0, b"", 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]
        self.transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        self.held += data
        if not self.length:
            # Every answer has the length of the first: the query and its data don't change.
            self.length = _length(self.held)
        if not self.length or len(self.held) < self.length:
            return
        if not self.held.startswith(b"HTTP/1.1 200"):
            self.done.set_exception(RuntimeError(self.held[:1000].decode()))
            self.transport.close()
            return
        self.answers += 1
        self.held, self.length = b"", 0
        if time.perf_counter() < self.until:
            self.transport.write(self.request)
        else:
            self.transport.close()
            self.done.set_result(None)

    def connection_lost(self, error: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(RuntimeError(f"connection lost: {error}"))


def _length(held: bytes) -> int:
    """The length of the whole answer in bytes; 0 until its headers have arrived."""
    end = held.find(b"\r\n\r\n")
    if end < 0:
        return 0
    for line in held[:end].split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return end + 4 + int(value)
    raise RuntimeError(f"no Content-Length: {held[:500]!r}")
