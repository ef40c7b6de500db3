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

#: Longest parameters in an address (http_max_uri_size is 1 MiB); longer ones go as a form.
MAX_URL = 16 * 1024
#: An error within so many bytes of the result still gets its own status.
BUFFER_BYTES = 1024 * 1024
_ERROR_BYTES = 64 * 1024

#: Set when ClickHouse is seen to mark, and to break off, an answer that fails in its middle.
_marks_errors = False


class Account(NamedTuple):
    """A tenant's user in ClickHouse, and the database it may read.

    ``rows``, ``bytes``: what one query may read where the tenant's plan says less than the
    settings do; 0 where it says nothing. They are those that its user has, too.
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

    ``encoding`` is the compression that the client takes, ``gzip`` or ``zstd``, or ''. ``filters``
    is ClickHouse's map of row filters by table, or ''. ``settings`` are those that the query asks
    for; what is not among ``QUERY_SETTINGS`` is left out.
    ``format_settings`` are those of the format. ``is_text``: the result must be UTF-8;
    ``replaces``: ClickHouse replaces what is not.
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
    """Run a statement as the tenant; raises WarehouseError, and NotText where it must be text.

    Every call carries readonly and all limits, besides those of the user's own settings.
    """
    if not call.is_text:
        return _ask(account, call, None)
    watch = TextWatch(replaced=call.replaces)
    answer = _ask(account, call, watch)
    if watch.is_suspect:
        _find_culprit(account, call, answer)
    return answer


def _find_culprit(account: Account, call: QueryCall, answer: Answer) -> None:
    """Raise NotText, unless a U+FFFD stood in the data: a second look tells it from another."""
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
    """What does not change from call to call: readonly, the limits, database and format."""
    fixed = {"database": database, "default_format": form, "buffer_size": str(BUFFER_BYTES)}
    if "CLICKHOUSE_URL" not in settings.EMBEDDED_SERVICES:
        # A server says before the answer what was read, and only so at the query's end. The answer
        # is taken in whole in any case.
        fixed["wait_end_of_query"] = "1"
    return urlencode({**limits(rows, size).settings(), **fixed})


def _note(response: ResponseReader) -> None:
    global _marks_errors  # noqa: PLW0603 - what is known of the server, the same for all threads
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
    """``multipart/form-data``, which is how ClickHouse takes parameters of any length."""
    boundary = uuid.uuid4().hex
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in fields.items()
    ]
    body = "".join([*parts, f"--{boundary}--\r\n"]).encode()
    return body, f"multipart/form-data; boundary={boundary}"


def _send(connections: ConnectionPool, request: bytes) -> tuple[ResponseReader, socket.socket]:
    """Send, once more on a new connection where a used one turns out to be closed."""
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
