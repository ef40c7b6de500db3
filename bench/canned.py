"""A backend that always answers the same bytes: ``python -m bench.canned PORT FILE``."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path


class Canned(asyncio.Protocol):
    answer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]
        self.held = b""

    def data_received(self, data: bytes) -> None:
        self.held += data
        end = self.held.find(b"\r\n\r\n")
        while end >= 0:
            head = self.held[:end].lower()
            at = head.find(b"content-length:")
            body = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
            if len(self.held) < end + 4 + body:
                return
            self.held = self.held[end + 4 + body :]
            self.transport.write(self.answer)
            end = self.held.find(b"\r\n\r\n")


async def main(port: str, body: bytes) -> None:
    Canned.answer = (
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=UTF-8\r\n"
        b"X-ClickHouse-Format: JSON\r\nContent-Length: %d\r\n\r\n" % len(body)
    ) + body
    server = await asyncio.get_running_loop().create_server(Canned, "127.0.0.1", int(port))
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2]).read_bytes()))
