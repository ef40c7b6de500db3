"""The HTTP interface on an engine in memory: who may send what, and what the answer says."""

from __future__ import annotations

import hashlib
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from millrace.embedded.clickhouse.engine import StatementCounts
from millrace.embedded.clickhouse.errors import refuse
from millrace.embedded.clickhouse.front import Front
from millrace.embedded.clickhouse.identity import Identities
from millrace.embedded.clickhouse.request import SocketReader, parse
from millrace.embedded.clickhouse.response import Response
from millrace.embedded.clickhouse.users import User, Users


def user(name: str, **fields: Any) -> User:
    return User(name, hashlib.sha256(name.encode()).hexdigest(), **fields)


class FakeEngine:
    """One for all its connections; every statement answers ``result``."""

    def __init__(self) -> None:
        self.statements: list[str] = []
        self.kind, self.count = "READ_ONLY", 1
        self.result: bytes | Exception = b"1\n"
        self.closed = 0

    def connect(self) -> FakeEngine:
        return self

    def text(self, sql: str, parameters: Any = None) -> str:
        return "engine-1" if "processes" in sql else "26.9\tUTC\tthe-host"

    def classify(self, sql: str) -> tuple[str, int]:
        return self.kind, self.count

    def run(self, sql: str, form: str = "TSV", bound: Any = None) -> Any:
        self.statements.append(sql)
        data = b"SelectWithUnionQuery" if sql.startswith("EXPLAIN AST") else self.result
        if isinstance(data, Exception) and not sql.startswith(("USE", "SET")):
            raise data
        return SimpleNamespace(data=data, counts=StatementCounts())

    def stream(self, sql: str, form: str, bound: Any) -> Any:
        result = self.run(sql, form, bound)
        return FakeStream([result])

    def close(self) -> None:
        self.closed += 1


class FakeStream:
    counts = StatementCounts()

    def __init__(self, results: list[Any]) -> None:
        self._results = iter(results)

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        return next(self._results)

    def close(self) -> None: ...


class Answer:
    """What arrived at the client."""

    def __init__(self, data: bytes, response: Response) -> None:
        head, _, self.body = data.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        self.status = int(first.split()[1])
        self.headers = dict(line.split(": ", 1) for line in lines)
        self.is_kept = response.keep_alive

    @property
    def code(self) -> int:
        return int(self.headers.get("X-ClickHouse-Exception-Code", "0"))


Ask = Callable[..., Answer]


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine()


@pytest.fixture
def front(engine: Any, tmp_path: Path) -> Front:
    users = Users(tmp_path / "users.json", user("admin", admin=True))
    reader = user("reader", database="d", databases=frozenset({"d"}))
    users.create(reader, if_not_exists=False, or_replace=False)
    return Front(engine, Identities(users))


@pytest.fixture
def ask(front: Front) -> Ask:
    """One request, by default of the administrator, whose password is the name."""

    def send(
        address: str = "/",
        body: bytes = b"",
        method: str = "POST",
        name: str = "admin",
        key: str = "",
        headers: str = "",
    ) -> Answer:
        client, served = socket.socketpair()
        with client, served:
            head = f"{method} {address} HTTP/1.1\r\nContent-Length: {len(body)}\r\n"
            login = f"X-ClickHouse-User: {name}\r\nX-ClickHouse-Key: {key or name}\r\n"
            client.sendall(f"{head}{login}{headers}\r\n".encode() + body)
            reader = SocketReader(served)
            request = parse(reader.head(5), reader)
            response = Response(served, request.version, request.keep_alive)
            front.respond(request, response)
            return Answer(client.recv(1 << 20), response)

    return send


@pytest.mark.parametrize(
    ("address", "method", "status"),
    [
        ("/ping", "GET", 200),
        ("/replicas_status", "GET", 200),
        ("/", "GET", 200),
        ("/x", "GET", 404),
    ],
)
def test_what_says_that_the_server_is_there_needs_no_password(
    ask: Ask, engine: FakeEngine, address: str, method: str, status: int
) -> None:
    answer = ask(address, method=method, key="wrong")
    assert (answer.status, answer.body == b"Ok.\n") == (status, status == 200)
    assert answer.is_kept
    assert engine.statements == []


@pytest.mark.parametrize("method", ["DELETE", "OPTIONS", "HEAD"])
def test_other_methods_are_not_supported(ask: Ask, method: str) -> None:
    assert ask("/?query=SELECT+1", method=method).status == 501


def test_a_query_answers_with_its_rows_and_says_what_they_are(ask: Ask) -> None:
    answer = ask("/?query=SELECT+1&query_id=q1")
    assert (answer.status, answer.body) == (200, b"1\n")
    assert answer.headers["X-ClickHouse-Query-Id"] == "q1"
    assert answer.headers["X-ClickHouse-Format"] == "TabSeparated"
    assert answer.headers["X-ClickHouse-Timezone"] == "UTC"
    assert answer.headers["X-ClickHouse-Server-Display-Name"] == "the-host"
    assert "Content-Encoding" not in answer.headers
    # Without an id of the client each query has another.
    ids = {ask("/?query=SELECT+1").headers["X-ClickHouse-Query-Id"] for _ in range(2)}
    assert len(ids) == 2


def test_an_error_has_clickhouses_code_and_form_and_the_connection_stays(
    ask: Ask, engine: FakeEngine
) -> None:
    engine.result = refuse(62, "Syntax error.")
    answer = ask("/?query=SELEC", b"T")
    assert (answer.status, answer.code, answer.is_kept) == (400, 62, True)
    expected = (
        "Code: 62. DB::Exception: Syntax error. (SYNTAX_ERROR) (version 26.9 (official build))"
    )
    assert answer.body.decode() == f"{expected}\n"
    assert "X-ClickHouse-Format" not in answer.headers
    assert answer.headers["Content-Type"].startswith("text/plain")


def test_a_wrong_password_reaches_no_statement(ask: Ask, engine: FakeEngine) -> None:
    answer = ask("/?query=SELECT+1", key="wrong")
    assert (answer.status, answer.code) == (403, 516)
    assert engine.statements == []


def test_only_the_administrator_manages_users(ask: Ask, engine: FakeEngine) -> None:
    sql = f"CREATE USER b IDENTIFIED WITH sha256_hash BY '{'0' * 64}'".encode()
    assert ask(body=sql, name="reader").code == 497
    assert ask(body=b"SHOW USERS").body == b"reader\n"
    assert ask(body=sql).status == 200
    assert ask(body=b"SHOW USERS").body == b"b\nreader\n"
    assert engine.statements == []


def test_a_user_passes_the_wall_and_the_administrator_does_not_need_to(
    ask: Ask, engine: FakeEngine
) -> None:
    assert ask("/?query=SELECT+1", name="reader").status == 200
    assert "EXPLAIN AST SELECT 1" in engine.statements
    assert "SET readonly = 1" in engine.statements
    engine.statements.clear()
    engine.kind = "WRITE"
    assert ask("/?query=SELECT+2", name="reader").code == 497
    assert "SELECT 2" not in engine.statements
    engine.statements.clear()
    assert ask("/?query=SELECT+2").status == 200
    assert engine.statements[-1] == "SELECT 2"
    assert not any("EXPLAIN AST" in sql for sql in engine.statements)


@pytest.mark.parametrize(("method", "readonly"), [("GET", True), ("POST", False), ("PUT", False)])
def test_a_get_only_reads(ask: Ask, engine: FakeEngine, method: str, readonly: bool) -> None:
    ask("/?query=SELECT+1", method=method)
    assert ("SET readonly = 2" in engine.statements) is readonly


@pytest.mark.parametrize(
    ("sql", "kind", "count", "code"),
    [
        ("SELECT 1; SELECT 2", "READ_ONLY", 2, 62),
        ("SELECT ';'", "READ_ONLY", 1, 0),
        ("SELECT 1 ; \n", "READ_ONLY", 2, 0),  # what ends in a semicolon is not even classified
        ("SELECT 1 INTO OUTFILE '/x'", "CONTROL", 1, 358),
        ("SELECT 'outfile'", "READ_ONLY", 1, 0),
    ],
)
def test_several_statements_and_files_are_refused_to_the_administrator_too(
    ask: Ask, engine: FakeEngine, sql: str, kind: str, count: int, code: int
) -> None:
    engine.kind, engine.count = kind, count
    assert ask(body=sql.encode()).code == code


def test_settings_and_the_database_are_the_connections(ask: Ask, engine: FakeEngine) -> None:
    ask("/?query=SELECT+1&database=e&max_threads=3")
    assert engine.statements[:3] == ["USE `e`", "SET max_threads = '3'", "SET ROLE millrace_admin"]


def test_a_kill_names_the_engines_id(ask: Ask, engine: FakeEngine, front: Front) -> None:
    from millrace.embedded.clickhouse.running_queries import Process

    with front.processes.running(Process("q", "admin", 1)):
        ask("/?query=KILL+QUERY+WHERE+query_id='q'")
    assert engine.statements[-1] == "KILL QUERY WHERE query_id='engine-1'"


def test_a_connection_whose_state_a_statement_changes_is_not_used_again(
    ask: Ask, engine: FakeEngine
) -> None:
    ask("/?query=SELECT+1")
    closed = engine.closed
    ask("/?query=SELECT+1")
    assert engine.closed == closed
    ask(body=b"CREATE TEMPORARY TABLE t (a UInt8)")
    assert engine.closed == closed + 1


@pytest.mark.parametrize(("kind", "code"), [("WRITE", 164), ("READ_ONLY", 0)])
def test_a_get_of_a_session_must_not_write(
    ask: Ask, engine: FakeEngine, kind: str, code: int
) -> None:
    engine.kind = kind
    assert ask("/?query=DROP+TABLE+t&session_id=s", method="GET").code == code
    assert ("DROP TABLE t" in engine.statements) == (code == 0)
    # The connection of the session keeps its right to write.
    assert "SET readonly = 2" not in engine.statements
    assert ask("/?query=SET+a=1&session_id=s", method="GET").code == 0


@pytest.mark.parametrize(
    ("asked", "accepted", "coding"),
    [("1", "gzip", "gzip"), ("1", "", None), ("0", "gzip", None), ("", "gzip", None)],
)
def test_a_result_is_compressed_if_the_request_and_its_client_say_so(
    ask: Ask, asked: str, accepted: str, coding: str | None
) -> None:
    address = f"/?query=SELECT+1&enable_http_compression={asked}"
    answer = ask(address, headers=f"Accept-Encoding: {accepted}\r\n")
    assert answer.headers.get("Content-Encoding") == coding
    assert (answer.body == b"1\n") is (coding is None)


def test_closing_closes_idle_connections(ask: Ask, front: Front, engine: FakeEngine) -> None:
    ask("/?query=SELECT+1&session_id=s")
    ask("/?query=SELECT+1")
    front.close()
    assert engine.closed == 3  # the session's, the pool's, and that of the list of queries
