"""Results from ClickHouse, taken in whole before a byte of them goes to the caller.

A WSGI server ends a response in the ordinary way when the application fails in its middle (seen
with granian 2.8: a broken stream came to the client as a complete one). So a result is read to
its end first, and only then has a status and a Content-Length. What is larger than WHOLE_BYTES
waits in a file without a name; a slow caller thereby holds no query open in the engine.
"""

from __future__ import annotations

import json
import re
import socket
import tempfile
from collections.abc import Iterator
from typing import IO, NamedTuple

from analytics_api.query_client.connections import Broken, ConnectionPool, ResponseReader
from analytics_api.query_client.text import TextWatch
from tenants.warehouse.errors import StatementFailed, WarehouseError, clean, name_of

#: A result up to so many bytes is kept in memory.
WHOLE_BYTES = 1024 * 1024
#: A result is at most so long as it is written. ClickHouse's own limit counts its columns.
MAX_BYTES = 1024 * 1024 * 1024
CHUNK_BYTES = 256 * 1024
#: How ClickHouse before 25.11 ends a body in which something failed after the head had left.
_OLD_ERROR = re.compile(rb"Code: \d+\. DB::Exception: [^\0]{0,16000}\(version [^)]*\)+\s*\Z")
_TAIL_BYTES = 16 * 1024
_QUERY_ID = b"x-clickhouse-query-id"


class BrokenAnswer(WarehouseError):
    """The engine failed, or went away, after its answer had begun."""


class AnswerTooLong(WarehouseError):
    """The result is longer than MAX_BYTES."""


class NotText(WarehouseError):
    """A result in text has bytes that are not UTF-8, in ``column``, or nobody knows where."""

    def __init__(self, column: str | None) -> None:
        super().__init__(column)
        self.column = column


class Answer(NamedTuple):
    """A complete result, as bytes or in an open file. ``encoding`` is its compression or ''.

    ``rows_read``, ``bytes_read``: what ClickHouse read for it.
    """

    content: bytes
    file: IO[bytes] | None
    size: int
    encoding: str
    query_id: str
    rows_read: int = 0
    bytes_read: int = 0

    def parts(self) -> Iterator[bytes]:
        """All of it, piece by piece."""
        if self.file is None:
            yield self.content
            return
        with self.file:
            while part := self.file.read(CHUNK_BYTES):
                yield part


def read(
    pool: ConnectionPool,
    connection: socket.socket,
    response: ResponseReader,
    watch: TextWatch | None = None,
) -> Answer:
    """Take in the whole result and give the connection back, or close it: ClickHouse cancels a
    query whose reader has gone. ``watch`` sees all of it.

    Raises StatementFailed or BrokenAnswer where the engine failed in the middle, AnswerTooLong
    beyond MAX_BYTES.
    """
    try:
        content, file, size = _take(response, watch)
    except (OSError, Broken) as error:
        connection.close()
        if isinstance(error, Broken):
            _look_for_error(response, error.partial)
        raise BrokenAnswer("ClickHouse's answer broke off.") from error
    except BaseException:
        connection.close()
        raise
    if response.will_close:
        connection.close()
    else:
        pool.release(connection)
    encoding, query_id = response.field(b"content-encoding"), response.field(_QUERY_ID)
    return Answer(content, file, size, encoding, query_id, *_summary(response.fields))


def _summary(fields: dict[bytes, bytes]) -> tuple[int, int]:
    """Rows and bytes read, by X-ClickHouse-Summary: a JSON object with its numbers as texts."""
    found = fields.get(b"x-clickhouse-summary")
    if found is None:
        return 0, 0
    try:
        summary = json.loads(found)
        return int(summary.get("read_rows", 0)), int(summary.get("read_bytes", 0))
    except ValueError:
        return 0, 0


def _take(response: ResponseReader, watch: TextWatch | None) -> tuple[bytes, IO[bytes] | None, int]:
    content = response.read(WHOLE_BYTES)
    _look_for_error(response, content[-_TAIL_BYTES:])
    if watch is not None:
        watch.begin(response.field(b"content-encoding"))
        watch.feed(content, last=len(content) < WHOLE_BYTES)
    if len(content) < WHOLE_BYTES:
        return content, None, len(content)
    file = tempfile.TemporaryFile()  # noqa: SIM115 - it is closed when the answer was sent
    try:
        size = _spool(response, content, file, watch)
    except BaseException:
        file.close()
        raise
    file.seek(0)
    return b"", file, size


def _spool(response: ResponseReader, part: bytes, file: IO[bytes], watch: TextWatch | None) -> int:
    """Write ``part`` and all that follows; returns the number of bytes."""
    size = 0
    tail = b""
    while part:
        size += file.write(part)
        tail = (tail + part)[-_TAIL_BYTES:]
        if size > MAX_BYTES:
            raise AnswerTooLong
        part = response.read(CHUNK_BYTES)
        if watch is not None:
            watch.feed(part, last=not part)
    _look_for_error(response, tail)
    return size


def _look_for_error(response: ResponseReader, tail: bytes) -> None:
    """Raise StatementFailed where the end of a body tells of an error.

    A server since 25.11 announces a tag and leaves the body without its end, for which Broken is
    raised. An older one ends it as if nothing had happened; it is asked for no compression.
    """
    tag = response.field(b"x-clickhouse-exception-tag")
    if tag:
        _, _, text = tail.partition(f"__exception__\r\n{tag}\r\n".encode())
        text, _, _ = text.partition(f"{tag}\r\n__exception__".encode())
    else:
        found = _OLD_ERROR.search(tail) if b"DB::Exception" in tail else None
        text = found[0] if found else b""
    if text:
        words = text.decode("utf-8", "replace")
        raise StatementFailed(*clean(words), name_of(words))
