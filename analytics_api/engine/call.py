from __future__ import annotations

import http.client
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from urllib.parse import urlencode

from analytics_api.engine.answer import Answer, read
from analytics_api.engine.connections import Pool, Response, pool
from tenants.warehouse.errors import StatementFailed, WarehouseUnreachable, clean
from tenants.warehouse.provision import limits

#: Longest parameters in an address (http_max_uri_size is 1 MiB); longer ones go as a form.
MAX_URL = 16 * 1024
#: An error within so many bytes of the result still gets its own status.
BUFFER_BYTES = 1024 * 1024
_ERROR_BYTES = 64 * 1024

#: Set when ClickHouse is seen to mark, and to break off, an answer that fails in its middle.
_marks_errors = False


@dataclass(frozen=True)
class Account:
    """A tenant's user in ClickHouse, and the database it may read."""

    database: str
    username: str
    password: str = field(repr=False)


@dataclass(frozen=True)
class Call:
    """A statement with its ``param_*`` and the ClickHouse format of the result.

    ``encoding`` is the compression that the client takes, ``gzip`` or ``zstd``, or ''.
    """

    sql: str
    parameters: Mapping[str, str]
    format: str
    encoding: str = ""


def ask(account: Account, call: Call) -> Answer:
    """Run a statement as the tenant; raises WarehouseError.

    Every call carries readonly and all limits, besides those of the user's own settings.
    """
    connections = pool()
    request = _request(connections, account, call)
    response, connection = _send(connections, request)
    if response.status != 200:
        raise _failure(connections, connection, response)
    _note(response)
    return read(connections, connection, response)


@lru_cache(maxsize=10_000)
def _session(database: str, form: str) -> str:
    """What does not change from call to call: readonly, the limits, database and format."""
    fixed = {"database": database, "default_format": form, "buffer_size": str(BUFFER_BYTES)}
    return urlencode({**limits().settings(), **fixed})


def _note(response: Response) -> None:
    global _marks_errors  # noqa: PLW0603 - what is known of the server, the same for all threads
    _marks_errors = "x-clickhouse-exception-tag" in response.fields


def _request(connections: Pool, account: Account, call: Call) -> bytes:
    address = f"{_session(account.database, call.format)}&query_id={uuid.uuid4()}"
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
    return head.encode("ascii") + body


def _form(fields: Mapping[str, str]) -> tuple[bytes, str]:
    """``multipart/form-data``, which is how ClickHouse takes parameters of any length."""
    boundary = uuid.uuid4().hex
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in fields.items()
    ]
    body = "".join([*parts, f"--{boundary}--\r\n"]).encode()
    return body, f"multipart/form-data; boundary={boundary}"


def _send(connections: Pool, request: bytes) -> tuple[Response, http.client.HTTPConnection]:
    """Send, once more on a new connection where a used one turns out to be closed."""
    try:
        connection, used = connections.acquire()
        try:
            return _exchange(connection, request), connection
        except (ConnectionError, http.client.RemoteDisconnected):
            if not used:
                raise
        connection = connections.fresh()
        return _exchange(connection, request), connection
    except (OSError, http.client.HTTPException) as error:
        msg = "ClickHouse does not answer at the address in CLICKHOUSE_URL."
        raise WarehouseUnreachable(msg) from error


def _exchange(connection: http.client.HTTPConnection, request: bytes) -> Response:
    try:
        connection.send(request)
        response = Response(connection.sock, method="POST")
        response.begin()
    except BaseException:
        connection.close()
        raise
    return response


def _failure(
    connections: Pool, connection: http.client.HTTPConnection, response: Response
) -> StatementFailed:
    try:
        text = response.read(_ERROR_BYTES).decode("utf-8", "replace")
    except (OSError, http.client.HTTPException):
        text = ""
    response.close()
    connection.close()
    code, message = clean(text)
    header = response.fields.get("x-clickhouse-exception-code", "")
    return StatementFailed(code or (int(header) if header.isdecimal() else 0), message)
