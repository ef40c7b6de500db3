"""Frames out of bytes, without a broker: what is taken here, and what is left to py-amqp."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from struct import pack
from types import SimpleNamespace
from typing import Any, cast

import pytest
from amqp.exceptions import UnexpectedFrame

from ingestion.connectors.rabbitmq.delivery import Delivery
from ingestion.connectors.rabbitmq.frames import Frames

METHOD, HEADER, BODY, HEARTBEAT = 1, 2, 3, 8


def frame(kind: int, payload: bytes, channel: int = 1) -> bytes:
    return pack(">BHI", kind, channel, len(payload)) + payload + b"\xce"


def text(value: bytes) -> bytes:
    return bytes([len(value)]) + value


def method(tag: int, *, redelivered: bool = False, channel: int = 1) -> bytes:
    parts = text(b"consumer") + pack(">QB", tag, redelivered) + text(b"exchange") + text(b"key")
    return frame(METHOD, pack(">HH", 60, 60) + parts, channel)


def header(size: int, channel: int = 1) -> bytes:
    """With a message id alone, whose flag is the eighth bit."""
    return frame(HEADER, pack(">HHQ", 60, 0, size) + pack(">H", 0x80) + text(b"id"), channel)


def message(tag: int, body: bytes, **fields: Any) -> bytes:
    return method(tag, **fields) + header(len(body)) + frame(BODY, body)


class Wire:
    """A connection into which a test puts bytes; what is left to py-amqp is in ``passed``."""

    def __init__(self) -> None:
        self.arriving: list[bytes] = []
        self.taken: list[Delivery] = []
        self.passed: list[tuple[int, int, bytes]] = []
        self.fails = False
        self.transport = SimpleNamespace(_read_buffer=b"", having_timeout=self._having_timeout)
        self.connection: Any = SimpleNamespace(
            transport=self.transport, bytes_recv=0, on_inbound_frame=self._pass
        )
        self.frames = Frames(cast("Any", self.connection), 1)

    @contextmanager
    def _having_timeout(self, _: float) -> Iterator[Any]:
        yield SimpleNamespace(recv=lambda _: self.arriving.pop(0))

    def _pass(self, passed: tuple[int, int, bytes]) -> None:
        self.passed.append(passed)
        if self.fails:
            raise ConnectionError("closed by the broker")

    def read(self, *arriving: bytes) -> list[int]:
        """The tags that are taken when these arrive one after the other."""
        self.arriving, before = list(arriving), len(self.taken)
        while self.arriving:
            self.frames.read(self.taken.append, 0.0)
        return [one.tag for one in self.taken[before:]]


@pytest.fixture
def wire() -> Wire:
    return Wire()


def test_many_deliveries_in_one_read_are_all_taken(wire: Wire) -> None:
    assert wire.read(message(1, b"a") + message(2, b"\xce\xce", redelivered=True)) == [1, 2]
    first, second = wire.taken
    assert (first.body, first.key, first.message_id) == (b"a", b"key", "id")
    assert (second.body, first.redelivered, second.redelivered) == (b"\xce\xce", False, True)
    assert (wire.passed, wire.transport._read_buffer) == ([], b"")
    assert wire.connection.bytes_recv == 6  # as many frames as py-amqp would have counted


def test_wherever_the_network_cuts_nothing_is_lost_or_taken_twice() -> None:
    data = message(1, b"abc") + message(2, b"def")
    for cut in range(1, len(data)):
        wire = Wire()
        assert wire.read(data[:cut], data[cut:]) == [1, 2]
        assert wire.passed == []
        assert [one.body for one in wire.taken] == [b"abc", b"def"]


def test_what_is_incomplete_stays_in_py_amqps_own_buffer(wire: Wire) -> None:
    data = message(2, b"def")
    assert wire.read(message(1, b"abc") + data[:-1]) == [1]
    assert wire.transport._read_buffer == data[:-1]


def test_other_frames_go_to_py_amqp_in_their_turn(wire: Wire) -> None:
    answer = frame(METHOD, pack(">HH", 50, 11) + b"x")
    assert wire.read(message(1, b"a") + answer + frame(HEARTBEAT, b"", 0) + message(2, b"b")) == [
        1,
        2,
    ]
    assert [(kind, channel) for kind, channel, _ in wire.passed] == [(METHOD, 1), (HEARTBEAT, 0)]
    assert wire.passed[0][2] == pack(">HH", 50, 11) + b"x"


def test_a_body_that_is_empty_or_in_several_frames_is_left_to_py_amqp(wire: Wire) -> None:
    empty = method(1) + header(0)
    assert wire.read(empty) == []
    assert [kind for kind, *_ in wire.passed] == [METHOD, HEADER]
    parts = method(2) + header(4) + frame(BODY, b"ab") + frame(BODY, b"cd")
    assert wire.read(parts) == []
    assert [kind for kind, *_ in wire.passed[2:]] == [METHOD, HEADER, BODY, BODY]


def test_a_delivery_whose_body_is_still_to_come_is_waited_for(wire: Wire) -> None:
    assert wire.read(method(1) + header(3)) == []
    assert wire.passed == []
    assert wire.read(frame(BODY, b"abc")) == [1]


@pytest.mark.parametrize(
    "data",
    [
        method(1, channel=2) + header(1, 2) + frame(BODY, b"a", 2),
        method(1, channel=2) + header(1) + frame(BODY, b"a"),
        method(1) + header(1, 2) + frame(BODY, b"a"),
        method(1) + header(1) + frame(BODY, b"a", 2),
        method(1) + frame(BODY, b"a") + header(1),
        method(1) + frame(BODY, header(1)[7:-1]) + frame(BODY, b"a"),
        method(1) + header(1) + frame(HEARTBEAT, b"a"),
    ],
)
def test_frames_of_another_channel_or_order_are_left_to_py_amqp(wire: Wire, data: bytes) -> None:
    assert wire.read(data) == []
    assert len(wire.passed) == 3


def test_a_frame_that_does_not_end_as_it_should_is_an_error(wire: Wire) -> None:
    with pytest.raises(UnexpectedFrame, match="0x00 instead of 0xce"):
        wire.read(message(1, b"a") + method(2)[:-1] + b"\x00")
    assert [one.tag for one in wire.taken] == [1]


def test_where_py_amqp_raises_what_was_taken_does_not_come_again(wire: Wire) -> None:
    wire.fails = True
    answer = frame(METHOD, pack(">HH", 10, 50))
    with pytest.raises(ConnectionError):
        wire.read(message(1, b"a") + answer + b"rest")
    assert [one.tag for one in wire.taken] == [1]
    assert wire.transport._read_buffer == answer + b"rest"


def test_a_socket_without_bytes_is_closed(wire: Wire) -> None:
    with pytest.raises(ConnectionResetError):
        wire.read(b"")
