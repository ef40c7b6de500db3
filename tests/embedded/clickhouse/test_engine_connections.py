"""The server's connections: kept or closed, turned away, and waited for at the end."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest

from millrace.embedded.clickhouse import server as module
from millrace.embedded.clickhouse.errors import BadRequest, Disconnected
from millrace.embedded.clickhouse.request import Request
from millrace.embedded.clickhouse.response import Response
from millrace.embedded.clickhouse.server import Server

Respond = Callable[[Request, Response], None]


class FakeFront:
    """Answers with the path, unless a test gives it another answer."""

    def __init__(self) -> None:
        self.answer: Respond = lambda request, response: response.whole(
            200, request.path.encode(), {}
        )

    def respond(self, request: Request, response: Response) -> None:
        self.answer(request, response)


@pytest.fixture
def front() -> FakeFront:
    return FakeFront()


@pytest.fixture
def server(front: Any) -> Iterator[Server]:
    made = Server("127.0.0.1", 0, front)
    thread = threading.Thread(target=made.serve, daemon=True)
    thread.start()
    yield made
    made.stop(0)
    # A thread in accept() does not notice that its socket is closed.
    with suppress(OSError):
        socket.create_connection(made.address[:2], timeout=1).close()


@pytest.fixture
def client(server: Server) -> Iterator[socket.socket]:
    with socket.create_connection(server.address[:2], timeout=120) as connected:
        yield connected


def rest(client: socket.socket) -> bytes:
    """All that arrives until the server closes."""
    received = b""
    while piece := client.recv(1 << 16):
        received += piece
    return received


GET = b"GET /%b HTTP/1.1\r\n%b\r\n"
CLOSE = b"Connection: close\r\n"


def test_requests_follow_each_other_until_the_client_wants_no_more(client: socket.socket) -> None:
    client.sendall(GET % (b"a", b"") + GET % (b"b", CLOSE) + GET % (b"c", b""))
    answers = rest(client)
    assert answers.count(b"HTTP/1.1 200") == 2
    assert answers.index(b"Keep-Alive\r\n\r\n/a") < answers.index(b"Close\r\n\r\n/b")


def test_a_body_that_was_not_read_is_not_taken_for_the_next_request(client: socket.socket) -> None:
    body = GET % (b"hidden", b"")
    client.sendall(b"POST /a HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    answers = rest(client)
    assert b"/a" in answers
    assert b"hidden" not in answers


def test_after_a_body_that_was_read_the_connection_is_kept(
    client: socket.socket, front: FakeFront
) -> None:
    def echo(request: Request, response: Response) -> None:
        response.whole(200, b"".join(request.body()), {})

    front.answer = echo
    client.sendall(b"POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\nhi" + GET % (b"", CLOSE))
    assert rest(client).count(b"HTTP/1.1 200") == 2


def test_what_is_no_request_is_answered_and_the_connection_closed(client: socket.socket) -> None:
    client.sendall(b"nonsense\r\n\r\n" + GET % (b"a", b""))
    answer = rest(client)
    assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert answer.endswith(b"This is not an HTTP/1.1 request.\n")


@pytest.mark.parametrize("begun", [False, True])
def test_a_body_that_is_none_is_answered_unless_an_answer_has_begun(
    client: socket.socket, front: FakeFront, begun: bool
) -> None:
    def refuse(request: Request, response: Response) -> None:
        if begun:
            response.begin({})
        raise BadRequest(431, "The trailers of the body are too large.")

    front.answer = refuse
    client.sendall(GET % (b"a", b"") + GET % (b"b", b""))
    answer = rest(client)
    assert answer.count(b"HTTP/1.1 ") == 1
    assert (b"HTTP/1.1 431" in answer) is not begun


@pytest.mark.parametrize(("error", "is_logged"), [(Disconnected(), False), (ValueError("x"), True)])
def test_an_error_ends_its_connection_alone_and_only_ours_is_logged(
    client: socket.socket,
    front: FakeFront,
    server: Server,
    error: Exception,
    is_logged: bool,
    caplog: pytest.LogCaptureFixture,
) -> None:
    plain = front.answer

    def fail(request: Request, response: Response) -> None:
        raise error

    front.answer = fail
    client.sendall(GET % (b"a", b""))
    assert rest(client) == b""
    assert ("A server error ended a connection" in caplog.text) is is_logged
    assert server.busy == 0
    front.answer = plain
    with socket.create_connection(server.address[:2], timeout=120) as other:
        other.sendall(GET % (b"b", CLOSE))
        assert rest(other).endswith(b"/b")


def test_above_the_most_connections_others_are_turned_away(
    client: socket.socket, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.sendall(GET % (b"a", b""))
    assert client.recv(1 << 16).endswith(b"/a")
    monkeypatch.setattr(module, "MOST", 1)
    with socket.create_connection(server.address[:2], timeout=120) as other:
        assert rest(other).startswith(b"HTTP/1.1 503 ")
    client.sendall(GET % (b"b", CLOSE))
    assert rest(client).endswith(b"/b")


def test_stopping_waits_for_requests_that_run_and_says_whether_they_ended(
    client: socket.socket, server: Server, front: FakeFront
) -> None:
    running, finish = threading.Event(), threading.Event()

    def slow(request: Request, response: Response) -> None:
        running.set()
        assert finish.wait(120)
        response.whole(200, b"done", {})

    front.answer = slow
    client.sendall(GET % (b"a", b"") + GET % (b"b", b""))
    assert running.wait(120)
    assert server.busy == 1
    assert not server.stop(0)
    threading.Timer(0.02, finish.set).start()
    assert server.stop(120)
    # The answer still arrives, but the next request is not begun.
    answer = rest(client)
    assert answer.count(b"HTTP/1.1 200") == 1
    assert answer.endswith(b"done")


def test_an_answer_arrives_though_the_client_still_sends(client: socket.socket) -> None:
    client.sendall(b"POST /a HTTP/1.1\r\nContent-Length: 3000000\r\n\r\n")
    client.sendall(bytes(3_000_000))
    assert rest(client).endswith(b"/a")
