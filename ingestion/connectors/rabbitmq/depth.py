"""Where a queue or stream begins and ends."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import kombu
from amqp import Message
from amqp.exceptions import NotFound, PreconditionFailed

from ingestion.connectors.base import Watermarks

#: Seconds in which a stream delivers its first message.
_PATIENCE = 2.0
#: Seconds without a delivery after which a chunk of its log has come as a whole.
_PAUSE = 0.3
#: Messages that a chunk of its log can hold.
_CHUNK = 65_535
#: By address and name, which are streams. AMQP tells it only by refusing a stream's argument,
#: which stands in the broker's log; so each process asks once.
_streams: dict[tuple[str, str], bool] = {}


def watermarks(link: kombu.Connection, queue: str, position: int) -> Watermarks:
    """A queue's depth is counted from ``position`` on; a stream has offsets of its own.

    Raises the client's exceptions.
    """
    try:
        count = _message_count(link, queue)
    except NotFound:
        # One that is made again under this name may be of another type.
        _streams.pop((link.as_uri(), queue), None)
        raise
    may_be_stream = _streams.get((link.as_uri(), queue), True)
    first = first_offset(link, queue) if count and may_be_stream else None
    if first is not None:
        high = first + count
        # The count follows a moment later; where it would mean a loss, the messages are asked.
        return Watermarks(first, high if position <= high else max(high, _end(link, queue)))
    # No count: a queue that is empty, or a stream that is, or whose count has yet to follow.
    if position and not count and not is_queue(link, queue):
        end = _end(link, queue)
        if is_stream(link, queue):
            return Watermarks(0, end)
    return Watermarks(0, position + count)


def is_stream(link: kombu.Connection, queue: str) -> bool:
    """Whether it is known to be one."""
    return _streams.get((link.as_uri(), queue), False)


def is_queue(link: kombu.Connection, queue: str) -> bool:
    """Whether it is known to be none."""
    return not _streams.get((link.as_uri(), queue), True)


def _message_count(link: kombu.Connection, queue: str) -> int:
    channel: Any = link.channel()
    try:
        return int(channel.queue_declare(queue, passive=True).message_count)
    finally:
        _close(channel)


def first_offset(link: kombu.Connection, queue: str, start: datetime | str = "first") -> int | None:
    """The oldest offset of a stream, or of a time on; None of a queue: nothing is taken from it."""
    found = _delivered(link, queue, start, prefetch=1)
    return next(found, None)


def _end(link: kombu.Connection, queue: str) -> int:
    """The offset of a stream's next new message: the last chunk of its log is read."""
    return max(_delivered(link, queue, "last", prefetch=_CHUNK), default=-1) + 1


def _delivered(
    link: kombu.Connection, queue: str, start: datetime | str, prefetch: int
) -> Iterator[int]:
    """Offsets of what a stream delivers from ``start`` on, until it pauses."""
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
