"""Reads whole results from ClickHouse, before a byte of them goes to the caller.

A WSGI server ends a response normally even if the application fails in the middle of it (seen with
granian 2.8: a broken stream reached the client as a complete one). So a result is read to its end
first; then its status and Content-Length are known. A result larger than WHOLE_BYTES waits in an
unnamed file. That way a slow caller keeps no query open in ClickHouse.
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

#: A result of fewer bytes is kept in memory.
WHOLE_BYTES = 1024 * 1024
#: The most bytes of a result in its format. ClickHouse's own limit counts bytes of columns.
MAX_BYTES = 1024 * 1024 * 1024
CHUNK_BYTES = 256 * 1024
#: How ClickHouse before 25.11 ends a body if the query fails after the headers were sent.
_OLD_ERROR = re.compile(rb"Code: \d+\. DB::Exception: [^\0]{0,16000}\(version [^)]*\)+\s*\Z")
_TAIL_BYTES = 16 * 1024
_QUERY_ID = b"x-clickhouse-query-id"


class BrokenAnswer(WarehouseError):
    """ClickHouse failed or closed the connection after its answer had begun."""


class AnswerTooLong(WarehouseError):
    """The result is longer than MAX_BYTES."""


class NotText(WarehouseError):
    """A text result has bytes that are not UTF-8, in ``column``; None if the column is unknown."""

    def __init__(self, column: str | None) -> None:
        super().__init__(column)
        self.column = column


class Answer(NamedTuple):
    """A complete result, as bytes or in an open file. ``encoding`` is its compression, or ''.

    ``size`` is its length in bytes. ``rows_read`` and ``bytes_read`` are what ClickHouse read for
    it.
    """

    content: bytes
    file: IO[bytes] | None
    size: int
    encoding: str
    query_id: str
    rows_read: int = 0
    bytes_read: int = 0

    def parts(self) -> Iterator[bytes]:
        """The result, piece by piece. Closes the file at the end."""
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
    """Read the whole result, showing all of it to ``watch``, and release the connection.

    On an error the connection is closed, since ClickHouse cancels a query whose reader is gone.
    Raises StatementFailed or BrokenAnswer if ClickHouse failed after its answer had begun, and
    AnswerTooLong beyond MAX_BYTES.
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
    """Rows and bytes read, from X-ClickHouse-Summary: a JSON object with numbers as strings."""
    header = fields.get(b"x-clickhouse-summary")
    if header is None:
        return 0, 0
    try:
        summary = json.loads(header)
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
    file = tempfile.TemporaryFile()  # noqa: SIM115 - closed after the answer is sent
    try:
        size = _spool(response, content, file, watch)
    except BaseException:
        file.close()
        raise
    file.seek(0)
    return b"", file, size


def _spool(response: ResponseReader, part: bytes, file: IO[bytes], watch: TextWatch | None) -> int:
    """Write ``part`` and the rest of the body to ``file``; returns the number of bytes."""
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
    """Raise StatementFailed if ``tail``, the end of a body, contains an error.

    ClickHouse since 25.11 announces a tag and breaks the body off, for which Broken is raised. An
    older server ends the body as if nothing had happened; so it is never asked to compress.
    """
    tag = response.field(b"x-clickhouse-exception-tag")
    if tag:
        _, _, text = tail.partition(f"__exception__\r\n{tag}\r\n".encode())
        text, _, _ = text.partition(f"{tag}\r\n__exception__".encode())
    else:
        match = _OLD_ERROR.search(tail) if b"DB::Exception" in tail else None
        text = match[0] if match else b""
    if text:
        words = text.decode("utf-8", "replace")
        raise StatementFailed(*clean(words), name_of(words))
