from __future__ import annotations

import http.client
import re
from collections.abc import Iterator

from analytics_api.engine.connections import Pool, Response
from tenants.warehouse.errors import WarehouseError

#: An answer that ends within so many bytes is sent on as a whole, a longer one as a stream.
WHOLE_BYTES = 256 * 1024
CHUNK_BYTES = 128 * 1024
#: How ClickHouse before 25.11 ends a body in which something failed after the head had left.
_OLD_ERROR = re.compile(rb"Code: \d+\. DB::Exception: [^\0]{0,16000}\(version [^)]*\)+\s*\Z")


class BrokenAnswer(WarehouseError):
    """The engine failed, or went away, after its answer had begun."""


class Answer:
    """A result on its way from ClickHouse.

    ``head`` is its beginning, or all of it when ``is_whole``; ``rest`` yields what follows and
    raises BrokenAnswer where the engine failed in the middle, so that a result is never cut short
    in silence. ``close`` must be called unless ``rest`` came to its end; it makes ClickHouse stop.
    """

    def __init__(
        self, pool: Pool, connection: http.client.HTTPConnection, response: Response
    ) -> None:
        self._pool = pool
        self._connection = connection
        self._response = response
        tag = response.fields.get("x-clickhouse-exception-tag")
        self._mark = f"__exception__\r\n{tag}".encode() if tag else b""
        self.content_type = response.fields.get("content-type", "application/octet-stream")
        self.encoding = response.fields.get("content-encoding", "")
        self.query_id = response.fields.get("x-clickhouse-query-id", "")
        self.is_whole = False
        self.head = self._read_head()

    def _read_head(self) -> bytes:
        parts: list[bytes] = []
        size = 0
        while size < WHOLE_BYTES:
            part = self._read()
            if not part:
                self._finish()
                break
            parts.append(part)
            size += len(part)
        head = b"".join(parts)
        self._look_for_error(head)
        return head

    def _read(self) -> bytes:
        try:
            return self._response.read1(CHUNK_BYTES)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise BrokenAnswer("ClickHouse's answer broke off.") from error

    def _finish(self) -> None:
        if not self._response.chunked and self._response.length:
            self.close()
            raise BrokenAnswer("ClickHouse's answer broke off.")
        self.is_whole = True
        if self._response.will_close:
            self.close()
        else:
            self._response.close()
            self._pool.release(self._connection)

    def _look_for_error(self, data: bytes) -> None:
        failed = (
            self._mark in data
            if self._mark
            else b"DB::Exception" in data[-16_384:] and _OLD_ERROR.search(data[-16_384:])
        )
        if failed and not self.encoding:
            self.close()
            raise BrokenAnswer("ClickHouse failed in the middle of its answer.")

    def rest(self) -> Iterator[bytes]:
        """What follows ``head``. Each part is held back until the next one shows that it counts."""
        try:
            held = b""
            while part := self._read():
                self._look_for_error(held[-1024:] + part)
                if held:
                    yield held
                held = part
            self._look_for_error(held)
            self._finish()
            if held:
                yield held
        finally:
            if not self.is_whole:
                self.close()

    def close(self) -> None:
        """Drop the connection; ClickHouse cancels a query whose reader has gone."""
        self._response.close()
        self._connection.close()
