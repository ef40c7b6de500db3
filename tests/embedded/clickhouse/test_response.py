"""Responses as they are on the wire: whole, in chunks, and broken off."""

from __future__ import annotations

import socket
import zlib
from collections.abc import Iterator
from typing import Any

import pytest

from millrace.embedded.clickhouse.compression import encoder
from millrace.embedded.clickhouse.errors import Disconnected
from millrace.embedded.clickhouse.response import Response, _send


class Wire:
    """A client's end of a socket, and what arrives there."""

    def __init__(self) -> None:
        self.client, self.server = socket.socketpair()

    def response(self, version: str = "HTTP/1.1", **fields: Any) -> Response:
        return Response(self.server, version, **{"keep_alive": True} | fields)

    def read(self) -> tuple[str, dict[str, str], bytes]:
        """The status line, the headers and the body that were sent so far."""
        head, _, body = self.client.recv(1 << 20).partition(b"\r\n\r\n")
        status, *lines = head.decode().split("\r\n")
        return status, dict(line.split(": ", 1) for line in lines), body


@pytest.fixture
def wire() -> Iterator[Wire]:
    made = Wire()
    with made.client, made.server:
        yield made


def test_a_whole_response_has_its_length_and_says_whether_the_connection_is_kept(
    wire: Wire,
) -> None:
    wire.response(headers={"X-A": "1", "X-B": "1"}).whole(404, b"gone", {"X-B": "2"})
    assert wire.read() == (
        "HTTP/1.1 404 Not Found",
        {"X-A": "1", "X-B": "2", "Content-Length": "4", "Connection": "Keep-Alive"},
        b"gone",
    )
    wire.response(keep_alive=False).whole(200, b"", {})
    assert wire.read()[1]["Connection"] == "Close"


def test_a_header_cannot_add_another(wire: Wire) -> None:
    wire.response(headers={"X-ClickHouse-Query-Id": "a\r\nX-Evil: 1"}).whole(
        200, b"", {"Y": "\u20ac"}
    )
    _, headers, _ = wire.read()
    assert headers["X-ClickHouse-Query-Id"] == "a  X-Evil: 1"
    assert headers["Y"] == "?"


def test_a_streamed_response_is_in_chunks_with_its_summary_as_a_trailer(wire: Wire) -> None:
    response = wire.response()
    response.begin({"X-A": "1"})
    response.write(b"0123456789")
    response.write(b"")  # as a chunk it would be the end
    response.write(memoryview(b"ab"))
    response.end('{"read_rows":"2"}')
    status, headers, body = wire.read()
    assert status == "HTTP/1.1 200 OK"
    assert (headers["Transfer-Encoding"], headers["Trailer"]) == ("chunked", "X-ClickHouse-Summary")
    assert body == (
        b'a\r\n0123456789\r\n2\r\nab\r\n0\r\nX-ClickHouse-Summary: {"read_rows":"2"}\r\n\r\n'
    )


def test_a_client_of_http_1_0_gets_no_chunks_and_the_end_of_the_connection(wire: Wire) -> None:
    response = wire.response("HTTP/1.0")
    response.begin({})
    response.write(b"abc")
    response.end("{}")
    _, headers, body = wire.read()
    assert headers == {"Connection": "Close"}
    assert body == b"abc"
    assert not response.keep_alive


def test_a_result_is_compressed_whole_and_in_pieces(wire: Wire) -> None:
    coded = {"Content-Encoding": "gzip"}
    wire.response(encoder=encoder("gzip", 3), headers=dict(coded)).whole(200, b"abc", {})
    _, headers, body = wire.read()
    assert headers["Content-Encoding"] == "gzip"
    assert int(headers["Content-Length"]) == len(body)
    assert zlib.decompress(body, wbits=31) == b"abc"

    response = wire.response("HTTP/1.0", encoder=encoder("gzip", 3), headers=dict(coded))
    response.begin({})
    for _ in range(100):
        response.write(b"abc")
    response.end()
    assert zlib.decompress(wire.read()[2], wbits=31) == b"abc" * 100


def test_an_empty_result_is_not_labelled_compressed(wire: Wire) -> None:
    response = wire.response(encoder=encoder("gzip", 3), headers={"Content-Encoding": "gzip"})
    response.whole(200, b"", {})
    _, headers, body = wire.read()
    assert "Content-Encoding" not in headers
    assert (headers["Content-Length"], body) == ("0", b"")


def test_an_error_in_mid_stream_is_between_tags_and_the_body_has_no_end(wire: Wire) -> None:
    response = wire.response(tag="0123456789abcdef")
    response.begin({})
    response.write(b"1\n")
    response.broken(b"Code: 1.")
    _, _, body = wire.read()
    tagged = b"0123456789abcdef\r\nCode: 1.\n9 0123456789abcdef"
    message = b"\r\n__exception__\r\n" + tagged + b"\r\n__exception__\r\n"
    assert body == b"2\r\n1\n\r\n" + b"%x\r\n" % len(message) + message + b"\r\n"
    assert not response.keep_alive


def test_an_error_in_a_compressed_stream_is_flushed(wire: Wire) -> None:
    response = wire.response("HTTP/1.0", encoder=encoder("gzip", 3))
    response.begin({})
    response.broken(b"Code: 1.")
    assert b"Code: 1." in zlib.decompress(wire.read()[2], wbits=31)


def test_a_response_counts_as_started_from_its_head_on(wire: Wire) -> None:
    response = wire.response()
    assert not response.started
    response.begin({})
    assert response.started
    assert wire.response().tag != wire.response().tag


class Slow:
    """A socket that takes at most ``most`` bytes of the first write."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.sent = b""

    def sendmsg(self, parts: tuple[bytes, ...]) -> int:
        self.sent = b"".join(parts)[: self._most]
        return len(self.sent)

    def sendall(self, data: memoryview) -> None:
        self.sent += bytes(data)


@pytest.mark.parametrize("most", range(10))
def test_what_the_socket_did_not_take_at_once_follows_without_gap_or_repeat(most: int) -> None:
    slow: Any = Slow(most)
    _send(slow, b"ab", memoryview(b"cdef"), b"", b"ghi")
    assert slow.sent == b"abcdefghi"


def test_a_client_that_has_gone_is_disconnected(wire: Wire) -> None:
    wire.client.close()
    with pytest.raises(Disconnected):
        wire.response().whole(200, bytes(10), {})
    wire.server.close()
    with pytest.raises(Disconnected):
        _send(wire.server, b"a")
