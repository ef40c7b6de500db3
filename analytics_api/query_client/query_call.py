"""Builds the HTTP request of a query, sends it and reads the answer."""

from __future__ import annotations

import os
import socket
import uuid
from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import urlencode

from django.conf import settings

from analytics_api.query_client.answer import Answer, NotText, read
from analytics_api.query_client.connections import Broken, ConnectionPool, ResponseReader, pool
from analytics_api.query_client.text import TextWatch, culprit
from tenants.provisioning.warehouse import limits
from tenants.warehouse.errors import StatementFailed, WarehouseUnreachable, clean, name_of
from tenants.warehouse.statements import QUERY_SETTINGS, ROW_FILTERS

#: The most characters of parameters in an address (http_max_uri_size is 1 MiB); more go as a form.
MAX_URL = 16 * 1024
#: ClickHouse buffers this many bytes of a result: an error within them still sets the status.
BUFFER_BYTES = 1024 * 1024
_ERROR_BYTES = 64 * 1024

#: Whether this ClickHouse marks and breaks off an answer that fails in the middle (since 25.11).
_marks_errors = False


class Account(NamedTuple):
    """A tenant's ClickHouse user, and the database it may read.

    ``rows`` and ``bytes`` limit what one query may read, if the tenant's plan allows less than the
    settings; 0 if it sets no limit. The ClickHouse user has the same limits.
    """

    database: str
    username: str
    password: str
    rows: int = 0
    bytes: int = 0

    def __repr__(self) -> str:
        return f"Account({self.username})"


class QueryCall(NamedTuple):
    """A statement with its ``param_*`` and the ClickHouse format of the result.

    ``encoding`` is the compression that the client accepts, ``gzip`` or ``zstd``, or ''.
    ``filters`` is ClickHouse's map of row filters by table, or ''. ``settings`` are those that the
    query sets; any that are not in ``QUERY_SETTINGS`` are left out. ``format_settings`` are those
    of the format. ``is_text``: the result must be UTF-8. ``replaces``: ClickHouse writes U+FFFD for
    bytes that are not UTF-8.
    """

    sql: str
    parameters: Mapping[str, str]
    format: str
    encoding: str = ""
    filters: str = ""
    settings: tuple[tuple[str, str], ...] = ()
    format_settings: tuple[tuple[str, str], ...] = ()
    is_text: bool = False
    replaces: bool = False


def ask(account: Account, call: QueryCall) -> Answer:
    """Run a statement as the tenant; raises WarehouseError, and NotText if the result must be text.

    Every call sends readonly and all limits, although the ClickHouse user has them, too.
    """
    if not call.is_text:
        return _ask(account, call, None)
    watch = TextWatch(replaced=call.replaces)
    answer = _ask(account, call, watch)
    if watch.is_suspect:
        _find_culprit(account, call, answer)
    return answer


def _find_culprit(account: Account, call: QueryCall, answer: Answer) -> None:
    """Raise NotText, unless the data has U+FFFD itself. Running the query again shows which."""
    again = call._replace(format="JSONEachRow", encoding="", format_settings=(), is_text=False)
    column = culprit(_ask(account, again, None).parts())
    if column is None and call.replaces:
        return
    if answer.file is not None:
        answer.file.close()
    raise NotText(column)


def _ask(account: Account, call: QueryCall, watch: TextWatch | None) -> Answer:
    connections = pool()
    request = _request(connections, account, call)
    response, connection = _send(connections, request)
    if response.status != 200:
        raise _failure(connections, connection, response)
    _note(response)
    return read(connections, connection, response, watch)


@lru_cache(maxsize=10_000)
def _session(database: str, form: str, rows: int = 0, size: int = 0) -> str:
    """The part of the address that calls share: readonly, the limits, database and format."""
    fixed = {"database": database, "default_format": form, "buffer_size": str(BUFFER_BYTES)}
    if "CLICKHOUSE_URL" not in settings.EMBEDDED_SERVICES:
        # The server sends what it read in a header, before the body. With this setting it waits
        # for the query's end, so that the counts are final. We read the whole result anyway.
        fixed["wait_end_of_query"] = "1"
    return urlencode({**limits(rows, size).settings(), **fixed})


def _note(response: ResponseReader) -> None:
    global _marks_errors  # noqa: PLW0603 - a fact about the server, the same for all threads
    _marks_errors = b"x-clickhouse-exception-tag" in response.fields


def _request(connections: ConnectionPool, account: Account, call: QueryCall) -> bytes:
    session = _session(account.database, call.format, account.rows, account.bytes)
    address = f"{session}&query_id={os.urandom(16).hex()}"
    if call.format_settings:
        address = f"{address}&{urlencode(call.format_settings)}"
    if call.filters:
        address = f"{address}&{urlencode({ROW_FILTERS: call.filters})}"
    if call.settings:
        known = [pair for pair in call.settings if pair[0] in QUERY_SETTINGS]
        address = f"{address}&{urlencode(known)}"
    body, content_type = call.sql.encode(), "text/plain; charset=utf-8"
    bound = urlencode(call.parameters) if call.parameters else ""
    if len(bound) > MAX_URL:
        body, content_type = _form({"query": call.sql, **call.parameters})
    elif bound:
        address = f"{address}&{bound}"
    accepted = call.encoding if call.encoding and _marks_errors else "identity"
    head = (
        f"POST {connections.path}?{address} HTTP/1.1\r\n"
        f"Host: {connections.host}:{connections.port}\r\n"
        f"X-ClickHouse-User: {account.username}\r\n"
        f"X-ClickHouse-Key: {account.password}\r\n"
        f"Accept-Encoding: {accepted}\r\n"
        f"Content-Type: {content_type}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def _form(fields: Mapping[str, str]) -> tuple[bytes, str]:
    """``multipart/form-data``, in which ClickHouse accepts parameters of any length."""
    boundary = uuid.uuid4().hex
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in fields.items()
    ]
    body = "".join([*parts, f"--{boundary}--\r\n"]).encode()
    return body, f"multipart/form-data; boundary={boundary}"


def _send(connections: ConnectionPool, request: bytes) -> tuple[ResponseReader, socket.socket]:
    """Send the request; if a used connection turns out to be closed, once more on a new one."""
    try:
        connection, used = connections.acquire()
        try:
            return _exchange(connection, request), connection
        except (ConnectionError, Broken):
            if not used:
                raise
        connection = connections.fresh()
        return _exchange(connection, request), connection
    except (OSError, Broken) as error:
        msg = "ClickHouse does not answer at the address in CLICKHOUSE_URL."
        raise WarehouseUnreachable(msg) from error


def _exchange(connection: socket.socket, request: bytes) -> ResponseReader:
    try:
        connection.sendall(request)
        response = ResponseReader(connection)
        response.begin()
    except BaseException:
        connection.close()
        raise
    return response


def _failure(
    connections: ConnectionPool, connection: socket.socket, response: ResponseReader
) -> StatementFailed:
    try:
        text = response.read(_ERROR_BYTES).decode("utf-8", "replace")
    except (OSError, Broken):
        text = ""
    connection.close()
    code, message = clean(text)
    header = response.field(b"x-clickhouse-exception-code")
    code = code or (int(header) if header.isdecimal() else 0)
    return StatementFailed(code, message, name_of(text))
