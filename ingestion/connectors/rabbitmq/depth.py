"""Measures where a queue or stream begins and ends."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import kombu
from amqp import Message
from amqp.exceptions import NotFound, PreconditionFailed

from ingestion.connectors.base import Watermarks

#: Seconds within which a stream delivers its first message.
_PATIENCE = 2.0
#: Seconds without a delivery after which a chunk of the log has arrived completely.
_PAUSE = 0.3
#: How many messages a chunk of the log can hold.
_CHUNK = 65_535
#: Whether each queue, by address and name, is a stream. AMQP shows it only by refusing a stream's
#: argument, which leaves an error in the broker's log; so each process asks once.
_streams: dict[tuple[str, str], bool] = {}


def watermarks(link: kombu.Connection, queue: str, position: int) -> Watermarks:
    """The watermarks of a queue or stream. Raises the client's exceptions.

    A queue has no offsets: its depth is counted from ``position`` on.
    """
    try:
        count = _message_count(link, queue)
    except NotFound:
        # If it is created again under this name, it may be of another type.
        _streams.pop((link.as_uri(), queue), None)
        raise
    may_be_stream = _streams.get((link.as_uri(), queue), True)
    first = first_offset(link, queue) if count and may_be_stream else None
    if first is not None:
        high = first + count
        # The count lags a moment behind. If it would mean that messages were lost, read the end of
        # the log instead.
        return Watermarks(first, high if position <= high else max(high, end_offset(link, queue)))
    # No count: an empty queue, an empty stream, or a stream whose count lags behind.
    if position and not count and not is_queue(link, queue):
        end = end_offset(link, queue)
        if is_stream(link, queue):
            return Watermarks(0, end)
    return Watermarks(0, position + count)


def is_stream(link: kombu.Connection, queue: str) -> bool:
    """Whether it is known to be a stream."""
    return _streams.get((link.as_uri(), queue), False)


def is_queue(link: kombu.Connection, queue: str) -> bool:
    """Whether it is known to be a queue and not a stream."""
    return not _streams.get((link.as_uri(), queue), True)


def _message_count(link: kombu.Connection, queue: str) -> int:
    channel: Any = link.channel()
    try:
        return int(channel.queue_declare(queue, passive=True).message_count)
    finally:
        _close(channel)


def first_offset(link: kombu.Connection, queue: str, start: datetime | str = "first") -> int | None:
    """The oldest offset of a stream, or the first from the time ``start`` on.

    None for a queue, from which no message is taken.
    """
    offsets = _delivered(link, queue, start, prefetch=1)
    return next(offsets, None)


def end_offset(link: kombu.Connection, queue: str) -> int:
    """The offset of a stream's next new message; reads the last chunk of its log."""
    return max(_delivered(link, queue, "last", prefetch=_CHUNK), default=-1) + 1


def _delivered(
    link: kombu.Connection, queue: str, start: datetime | str, prefetch: int
) -> Iterator[int]:
    """The offsets of the messages that a stream delivers from ``start`` on, until it pauses."""
    channel: Any = link.channel()
    found: deque[int] = deque()

    def note(message: Message) -> None:
        found.append(int((message.headers or {})["x-stream-offset"]))

    wait = _PATIENCE
    try:
        channel.auto_decode = False
        channel.basic_qos(0, prefetch, False)
        channel.basic_consume(queue, callback=note, arguments={"x-stream-offset": start})
        _streams[link.as_uri(), queue] = True
        while True:
            try:
                while not found:
                    link.drain_events(timeout=wait)
            except TimeoutError:
                return
            wait = _PAUSE
            yield found.popleft()
    except PreconditionFailed:
        _streams[link.as_uri(), queue] = False
    finally:
        _close(channel)


def _close(channel: Any) -> None:
    if channel.connection is not None:
        channel.close()
