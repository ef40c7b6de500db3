"""Requests as clients send them over a socket, and as attackers do."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from millrace.embedded.clickhouse import request as requests
from millrace.embedded.clickhouse.errors import BadRequest, Disconnected
from millrace.embedded.clickhouse.request import Request, SocketReader, parse

CHUNKED = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, SocketReader]]:
    """The client's end, and what reads at the other."""
    client, server = socket.socketpair()
    with client, server:
        yield client, SocketReader(server)


def read(ends: tuple[socket.socket, SocketReader], sent: bytes) -> Request:
    client, reader = ends
    client.sendall(sent)
    return parse(reader.head(5), reader)


def drip(client: socket.socket, pieces: bytes, seconds: float) -> threading.Thread:
    """Send byte by byte, until all is sent or nobody listens."""

    def send() -> None:
        for one in pieces:
            time.sleep(seconds)
            try:
                client.sendall(bytes([one]))
            except OSError:
                return

    thread = threading.Thread(target=send, daemon=True)
    thread.start()
    return thread


def test_two_requests_in_one_piece_are_read_one_after_the_other(ends) -> None:
    first = read(
        ends,
        b"POST /?query=INSERT%20%C3%A9&x=1 HTTP/1.1\r\nContent-Length: 3\r\nX-A: b \r\n\r\nabc"
        b"GET /ping HTTP/1.0\r\n\r\n",
    )
    assert (first.method, first.path, first.header("x-a")) == ("POST", "/", "b")
    assert first.query == {"query": "INSERT \N{LATIN SMALL LETTER E WITH ACUTE}", "x": "1"}
    assert b"".join(first.body()) == b"abc"
    second = parse(first.reader.head(5), first.reader)
    assert (second.path, second.keep_alive, second.has_body) == ("/ping", False, False)


def test_a_chunked_body_ends_behind_its_trailers(ends) -> None:
    sent = b"3;name=value\r\nabc\r\nA\r\n0123456789\r\n0\r\nDigest: x\r\nB: y\r\n\r\nGET"
    request = read(ends, CHUNKED + sent)
    assert b"".join(request.body()) == b"abc0123456789"
    assert request.body_read
    assert request.reader.some(3) == b"GET"


def test_an_offer_to_upgrade_does_not_cost_a_request_its_body(ends) -> None:
    head = b"POST / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 3\r\n\r\n"
    assert b"".join(read(ends, head + b"abc").body()) == b"abc"


@pytest.mark.parametrize(
    "head",
    [
        b"Content-Length: 3\r\nTransfer-Encoding: chunked",
        b"Content-Length: 3\r\nContent-Length: 4",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
        b"Transfer-Encoding: identity",
        b"Transfer-Encoding: gzip, chunked",
        b"Transfer-Encoding: xchunked",
        b"Transfer-Encoding:",
        b"X: a\nContent-Length: 3",
        b"X: a\rContent-Length: 3",
        b"X: a\0",
        b"Content-Length : 3",
        b"Content-Length",
    ],
)
def test_a_head_that_leaves_open_where_its_body_ends_is_refused(ends, head: bytes) -> None:
    with pytest.raises(BadRequest):
        read(ends, b"POST / HTTP/1.1\r\n" + head + b"\r\n\r\nabc")


@pytest.mark.parametrize("length", [b"-1", b"+3", b"1_0", b"0x3", b"3,3", b"x", b"9" * 30])
def test_a_length_that_is_no_plain_number_is_refused(ends, length: bytes) -> None:
    request = read(ends, b"POST / HTTP/1.1\r\nContent-Length: " + length + b"\r\n\r\nabc")
    with pytest.raises(BadRequest):
        list(request.body())


@pytest.mark.parametrize(
    "body",
    [
        b"+3\r\nabc\r\n0\r\n\r\n",
        b"0x3\r\nabc\r\n0\r\n\r\n",
        b"1_0\r\n0123456789abcdef\r\n0\r\n\r\n",
        b"-1\r\n\r\n",
        b"\r\n\r\n",
        b"f" * 30 + b"\r\n",
        b"3\r\nabcd\r\n0\r\n\r\n",
        b"3\n\r\nabc\r\n0\r\n\r\n",
        b"3" * 10_000,
    ],
)
def test_a_chunk_without_a_plain_size_is_refused(ends, body: bytes) -> None:
    request = read(ends, CHUNKED + body)
    with pytest.raises(BadRequest):
        list(request.body())


def test_a_head_and_trailers_have_a_largest_size(ends, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "MAX_TRAILERS", 1_000)
    request = read(ends, CHUNKED + b"0\r\n" + b"A: b\r\n" * 1_000)
    with pytest.raises(BadRequest) as refused:
        list(request.body())
    assert refused.value.status == 431
    monkeypatch.setattr(requests, "MAX_HEAD", 1_000)
    client, server = socket.socketpair()
    with client, server, pytest.raises(BadRequest) as refused:
        read((client, SocketReader(server)), b"GET / HTTP/1.1\r\nA: " + b"b" * 5_000)
    assert refused.value.status == 431


@pytest.mark.parametrize(
    ("head", "body"),
    [
        (b"POST / HTTP/1.1\r\nContent-Length: 1000\r\n\r\n", b"x" * 1_000),
        (CHUNKED, b"1\r\nx\r\n" * 200),
        (CHUNKED, b"0" * 1_000),
        (CHUNKED, b"0\r\n" + b"A: b\r\n" * 200),
    ],
    ids=["body", "chunks", "a chunk's size", "trailers"],
)
def test_a_body_that_drips_is_given_up(
    ends, head: bytes, body: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requests, "PATIENCE", 0.3)
    request = read(ends, head)
    sender = drip(ends[0], body, 0.01)
    with pytest.raises(Disconnected):
        list(request.body())
    assert sender.is_alive()
    ends[0].close()


def test_the_time_that_a_statement_takes_is_not_the_clients(
    ends, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requests, "PATIENCE", 0.3)
    request = read(ends, b"POST / HTTP/1.1\r\nContent-Length: 4\r\n\r\nab")
    body = request.body()
    assert next(body) == b"ab"
    time.sleep(0.5)
    ends[0].sendall(b"cd")
    assert b"".join(body) == b"cd"


@pytest.mark.parametrize(
    ("version", "connection", "is_kept"),
    [
        ("1.1", "", True),
        ("1.1", "Keep-Alive", True),
        ("1.1", "Close", False),
        ("1.1", "TE, close", False),
        ("1.0", "", False),
        ("1.0", "Keep-Alive", True),
        ("1.0", "close", False),
    ],
)
def test_a_connection_is_kept_as_the_version_and_the_client_say(
    ends, version: str, connection: str, is_kept: bool
) -> None:
    request = read(ends, f"GET / HTTP/{version}\r\nConnection: {connection}\r\n\r\n".encode())
    assert request.keep_alive is is_kept


@pytest.mark.parametrize(
    "line", [b"GET /", b"GET / HTTP/2.0", b"GET  / HTTP/1.1", b"GET / HTTP/1.1 x", b"\x16\x03\x01"]
)
def test_a_first_line_that_is_not_http_1_is_refused(ends, line: bytes) -> None:
    with pytest.raises(BadRequest) as refused:
        read(ends, line + b"\r\n\r\n")
    assert refused.value.status == 400


def test_blank_lines_before_a_request_are_passed_over(ends) -> None:
    request = read(ends, b"\r\n\r\nGET /a%20b+c?x=%FF&y HTTP/1.1\r\n\r\n")
    assert request.path == "/a b c"
    assert request.query == {"x": "\udcff", "y": ""}


def test_a_client_that_leaves_within_head_or_body_is_disconnected(ends) -> None:
    client, reader = ends
    client.sendall(b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\na")
    request = parse(reader.head(5), reader)
    client.close()
    with pytest.raises(Disconnected):
        list(request.body())
    with pytest.raises(Disconnected):
        reader.head(5)


def test_a_client_that_waits_is_told_to_go_on_once_its_body_is_read(ends) -> None:
    head = b"POST / HTTP/1.1\r\nExpect: 100-Continue\r\nContent-Length: 3\r\n\r\n"
    request = read(ends, head)
    ends[0].setblocking(False)
    with pytest.raises(BlockingIOError):
        ends[0].recv(100)
    body = request.body()
    ends[0].setblocking(True)
    ends[0].sendall(b"abc")
    assert b"".join(body) == b"abc"
    assert ends[0].recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"


def test_the_rest_of_a_body_is_dropped_up_to_a_limit(ends, monkeypatch: pytest.MonkeyPatch) -> None:
    post = b"POST / HTTP/1.1\r\nContent-Length: 10\r\n\r\n0123456789"
    request = read(ends, post)
    assert request.drain()
    assert request.body_read
    assert request.drain()
    request = read(ends, post)
    next(request.body())
    assert request.drain()
    assert read(ends, b"GET / HTTP/1.1\r\n\r\n").drain()
    monkeypatch.setattr(requests, "DRAIN", 9)
    request = read(ends, post)
    assert not request.drain()


def test_a_body_that_the_client_was_not_asked_for_is_not_waited_for(ends) -> None:
    head = b"POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n"
    assert not read(ends, head).drain()
