"""What is read from a message's properties: id, time and offset, and what stands in for them."""

from __future__ import annotations

import hashlib
from types import SimpleNamespace
from typing import Any

import pytest

from ingestion.connectors.rabbitmq.delivery import delivery, of_message


def made(body: bytes = b"{}", **properties: Any) -> Any:
    return delivery(1, body, b"k", properties, False)


def test_the_id_is_the_senders() -> None:
    message = made(message_id="a")
    assert (message.message_id, message.given) == ("a", True)


@pytest.mark.parametrize("properties", [{}, {"message_id": ""}])
def test_without_one_it_is_a_hash_of_the_body_which_equal_bodies_share(
    properties: dict[str, Any],
) -> None:
    message = made(b"1", **properties)
    assert (message.message_id, message.given) == (
        hashlib.blake2b(b"1", digest_size=16).hexdigest(),
        False,
    )
    assert made(b"2").message_id != message.message_id


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (1_700_000_000, 1_700_000_000_000),
        (0, 0),
        (10_413_791_999, 10_413_791_999_000),
        (10_413_792_000, None),  # beyond what the column holds
        (2**64 - 1, None),
        (None, None),
    ],
)
def test_a_time_is_in_milliseconds_and_one_that_can_not_be_is_none(
    sent: int | None, expected: int | None
) -> None:
    assert made(timestamp=sent).timestamp == expected


@pytest.mark.parametrize(
    ("headers", "expected"),
    [({"x-stream-offset": 0}, 0), ({"x-stream-offset": 7}, 7), ({"h": 1}, None), (None, None)],
)
def test_only_a_stream_says_the_offset(
    headers: dict[str, Any] | None, expected: int | None
) -> None:
    assert made(application_headers=headers).offset == expected


@pytest.mark.parametrize(("body", "raw"), [(b"\xff", b"\xff"), ("é", "é".encode())])
def test_a_message_of_py_amqps_has_the_same_parts(body: Any, raw: bytes) -> None:
    info = {"delivery_tag": 9, "routing_key": "orders.é", "redelivered": True}
    message: Any = SimpleNamespace(
        body=body, properties={"message_id": "a", "timestamp": 5}, delivery_info=info
    )
    found = of_message(message)
    assert (found.tag, found.body, found.key) == (9, raw, "orders.é".encode())
    assert (found.message_id, found.timestamp, found.redelivered) == ("a", 5_000, True)
    del info["redelivered"]
    assert of_message(message).redelivered is False
