"""Two tenants on the real web server: what one's calls hold, the other need not wait for.

No time is measured: the other's call is answered while those of the first are still under way.
"""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest
import urllib3

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

THREADS, SHARE, CALLS = 4, 2, 12
#: A query that would take minutes of one core, and is ended by its limit of so many seconds.
SECONDS = 6
_MAKE = """
import json
from analytics_api.models import SavedQuery
from analytics_api.services.saved_queries import publish
from ingestion.models import Column, Source, Table
from ingestion.provision import provision_table
from tenants.services.keys import create_key
from tenants.models import Tenant
from tenants.services.warehouses import create_warehouse
from tenants.provisioning.warehouse import provision
keys = {}
for name in ("hog", "other"):
    tenant = Tenant.objects.create(slug=name, name=name)
    provision(create_warehouse(tenant))
    for query, sql in (
        ("slow", "SELECT max(sipHash64(toString(number))) AS m FROM numbers(900000000)"),
        ("quick", "SELECT 1 AS one"),
        ("large", "SELECT randomPrintableASCII(1000) AS s FROM numbers(100000)"),
    ):
        publish(SavedQuery.objects.create(tenant=tenant, name=query, sql=sql))
    table = Table.objects.create(tenant=tenant, name="events", sorting_key=["n"])
    Column.objects.create(table=table, position=0, name="n", type="UInt32")
    provision_table(table)
    Source.objects.create(tenant=tenant, name="events", table=table)
    scopes = ["queries:run", "events:write"]
    keys[name] = create_key(tenant, "test", scopes=scopes)[1]
print(json.dumps(keys))
"""


class Server:
    """The web server, with one process of THREADS threads, and the two tenants' keys."""

    def __init__(self, installation: Any) -> None:
        self.installation = installation
        self.url = installation.urls["WEB_URL"]
        self.pool = urllib3.PoolManager(maxsize=CALLS)
        self.keys: dict[str, str] = json.loads(installation.python(_MAKE).splitlines()[-1])

    def head(self, tenant: str, line: str, **headers: str) -> bytes:
        """The head of a request, as it goes over the line."""
        given = {"Host": urlsplit(self.url).netloc, "Authorization": f"Bearer {self.keys[tenant]}"}
        lines = [f"{line} HTTP/1.1", *(f"{name}: {one}" for name, one in (given | headers).items())]
        return "\r\n".join([*lines, "", ""]).encode()

    def call(self, tenant: str, path: str, **how: Any) -> Any:
        headers = {"Authorization": f"Bearer {self.keys[tenant]}", "Connection": "close"}
        how = {"method": "GET", "timeout": 60, "retries": False} | how
        return self.pool.request(url=f"{self.url}/api/v1/{path}", headers=headers, **how)

    @contextmanager
    def raw(self, tenant: str, line: str, body: bytes = b"", **headers: str) -> Iterator[Any]:
        """Connections that send this and take nothing of the answer but its first byte."""
        address = urlsplit(self.url)
        with ExitStack() as stack:
            found = []
            for _ in range(CALLS):
                made = socket.socket()
                made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                stack.enter_context(made).connect((address.hostname, address.port))
                made.sendall(self.head(tenant, line, **headers) + body)
                found.append(made)
            yield found


@pytest.fixture(scope="module")
def server(installation: Any) -> Iterator[Server]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MILLRACE_QUERY_SECONDS", str(SECONDS))
        patch.setenv("MILLRACE_QUERY_THREADS", "1")
        patch.setenv("MILLRACE_WEB_WORKERS", "1")
        patch.setenv("MILLRACE_WEB_THREADS", str(THREADS))
        installation.start("postgres", "clickhouse", "valkey", "web")
        yield Server(installation)


@contextmanager
def asking(server: Server, path: str, **how: Any) -> Iterator[list[Any]]:
    """CALLS calls of the hog at once; those that were answered so far."""
    answers: list[Any] = []
    calls = [
        threading.Thread(target=lambda: answers.append(server.call("hog", path, **how)))
        for _ in range(CALLS)
    ]
    for one in calls:
        one.start()
    yield answers
    for one in calls:
        one.join()


def until(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def statuses(answers: list[Any]) -> list[int]:
    return sorted(one.status for one in answers)


def the_other_is_answered(server: Server) -> None:
    for _ in range(3):
        answer = server.call("other", "queries/quick.csv")
        assert (answer.status, answer.data) == (200, b'"one"\n1\n')


@pytest.mark.parametrize(
    ("path", "how", "status"),
    [
        ("queries/slow", {}, 504),
        # Nothing lands, as no worker runs.
        ("events/events?wait=true", {"method": "POST", "body": b'{"n": 1}'}, 202),
    ],
)
def test_slow_calls_of_one_tenant_leave_threads_to_another(
    path: str, how: dict[str, Any], status: int, server: Server
) -> None:
    with asking(server, path, **how) as answers:
        _another_is_answered_meanwhile(server, answers)
    assert statuses(answers) == sorted([status] * SHARE + [429] * (CALLS - SHARE))
    for one in (one for one in answers if one.status == 429):
        problem = one.json()
        assert problem["code"] == "busy"
        assert int(one.headers["Retry-After"]) >= 1
        assert f"{SHARE} calls of yours use your whole share" in problem["detail"]
    assert server.call("hog", "queries/quick").status == 200


def _another_is_answered_meanwhile(server: Server, answers: list[Any]) -> None:
    # Without a share THREADS of them are under way, and all others wait for these.
    until(lambda: len(answers) >= CALLS - SHARE)
    the_other_is_answered(server)
    assert set(statuses(answers)) == {429}


def test_the_share_holds_while_the_cache_is_away(server: Server) -> None:
    server.installation.stack.halt("valkey")
    try:
        with asking(server, "queries/slow") as answers:
            _another_is_answered_meanwhile(server, answers)
        assert statuses(answers).count(504) == SHARE
    finally:
        server.installation.start("valkey")


def test_senders_that_stop_within_a_body_leave_threads_to_another(server: Server) -> None:
    headers = {"Content-Length": "100", "Content-Type": "application/x-ndjson"}
    with server.raw("hog", "POST /api/v1/events/events", b'{"n"', **headers) as connections:
        until(lambda: answered(connections, 429) == CALLS - SHARE)
        the_other_is_answered(server)
    until(lambda: server.call("hog", "queries/quick").status == 200)


def test_readers_that_stop_within_a_result_leave_threads_to_another(server: Server) -> None:
    with server.raw("hog", "GET /api/v1/queries/large.ndjson") as connections:
        until(lambda: answered(connections, 429) == CALLS - SHARE)
        until(lambda: answered(connections, 200) == SHARE)
        the_other_is_answered(server)
    until(lambda: server.call("hog", "queries/quick").status == 200)


def answered(connections: list[socket.socket], status: int) -> int:
    """Of how many of these an answer of that status has begun."""
    return sum(_began(one) == f"HTTP/1.1 {status}".encode() for one in connections)


def _began(connection: socket.socket) -> bytes:
    connection.setblocking(False)
    try:
        return connection.recv(12, socket.MSG_PEEK)
    except BlockingIOError:
        return b""
