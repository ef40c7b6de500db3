from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

import kombu

from ingestion.connectors.base import Reader
from ingestion.connectors.chunk import Chunk, chunk
from ingestion.connectors.rabbitmq.consumer import STREAM_CREDIT, QueueConsumer
from ingestion.connectors.rabbitmq.delivery import Delivery
from ingestion.connectors.rabbitmq.link import translated
from ingestion.connectors.redelivery import Redelivery
from ingestion.errors import ConnectorError

#: Seconds without a delivery after which no requeued message can still be in flight.
QUIET = 2.0
#: Seconds that a poll waits for the next frame. Whatever the broker has sent is in the socket then.
WAIT = 0.001


class RabbitReader(Reader):
    """Reads one queue or stream, as partition 0. Calls ``closed`` with itself when it is closed."""

    def __init__(
        self,
        link: kombu.Connection,
        consumer: QueueConsumer,
        queue: str,
        position: int,
        redelivery: Redelivery,
        prefetch: int,
        closed: Callable[[RabbitReader], None],
        clock: Callable[[], float] = time.monotonic,
        *,
        has_metadata: bool = False,
    ) -> None:
        self._link, self._consumer, self._queue = link, consumer, queue
        self._next, self._has_metadata = position, has_metadata
        self._redelivery, self._closed, self._clock = redelivery, closed, clock
        #: The end of each chunk, and the delivery tag up to which to acknowledge it.
        self._ends: deque[tuple[int, int]] = deque()
        self.holds = self._prefetch = prefetch
        self.is_queue = not consumer.is_stream
        #: For a stream: the offset up to which it has landed, and the last unacknowledged tag.
        self._landed, self._tag = position, 0
        self._delivered, self._enough = 0, 2 * prefetch
        #: Deliveries skipped since the last chunk, because the table has them.
        self._known = 0
        self._heard_at = clock()
        self._where = link.as_uri()

    def has_arrived(self) -> bool:
        return self._consumer.has_arrived() or self._may_forget()

    def has_buffered(self) -> bool:
        """Whether something has arrived that the socket does not show."""
        return self._consumer.has_buffered()

    @property
    def socket(self) -> Any:
        """The socket to wait on; None if the link is lost."""
        return self._consumer.socket

    def keep_alive(self) -> None:
        with translated(f"Queue {self._queue!r}", self._where):
            self._consumer.keep_alive()

    def poll(self, limit: int) -> list[Chunk]:
        with translated(f"Queue {self._queue!r}", self._where):
            if self._may_forget():
                # None of them can be redelivered any more, and looking them up costs time for
                # every message.
                self._redelivery.unsettled.clear()
            deliveries = self._consumer.receive(limit, WAIT)
            if not deliveries:
                return []
            self._heard_at = self._clock()
            self._delivered += len(deliveries)
            fresh = self._fresh(deliveries)
            made = [self._chunk(fresh)] if fresh else []
            if self._consumer.is_stream:
                self._tag = deliveries[-1].tag
                self._let_come()
        return made

    def _let_come(self) -> None:
        """For a stream: acknowledge what has arrived, unless too much of it has yet to land.

        The position is in Postgres. To the broker this only means that it may send more.
        """
        room = max(0, self._prefetch - STREAM_CREDIT)
        if self._tag and self._next - self._landed <= room:
            self._consumer.channel.basic_ack(self._tag, multiple=True)
            self._tag = 0

    def _fresh(self, deliveries: list[Delivery]) -> list[Delivery]:
        """The deliveries that are not in the table; acknowledges the others at once."""
        if deliveries[0].offset is not None:
            # A stream sends whole chunks of its log, which may begin before the requested offset.
            known = [(one.offset or 0) < self._next for one in deliveries]
        else:
            known = self._redelivery.known(deliveries)
        if not any(known):
            return deliveries
        for one, is_known in zip(deliveries, known, strict=True):
            if is_known and one.offset is None:
                self._consumer.channel.basic_ack(one.tag)
                self._known += 1
        return [one for one, is_known in zip(deliveries, known, strict=True) if not is_known]

    def _chunk(self, fresh: list[Delivery]) -> Chunk:
        made = as_chunk(fresh, self._next, has_metadata=self._has_metadata)
        made = replace(made, deduplicated=self._known)
        self._next, self._known = made.to_offset, 0
        if not self._consumer.is_stream:
            made = replace(made, unidentified=sum(not one.given for one in fresh))
            self._ends.append((made.to_offset, fresh[-1].tag))
        return made

    def acknowledge(self, positions: Mapping[int, int]) -> None:
        if self._consumer.is_stream:
            self._landed = positions[0]
            with translated(f"Queue {self._queue!r}", self._where):
                self._let_come()
            return
        landed = [tag for end, tag in self._ends if end <= positions[0]]
        if landed:
            with translated(f"Queue {self._queue!r}", self._where):
                self._consumer.channel.basic_ack(landed[-1], multiple=True)
            # Not earlier: an acknowledgement that fails is to be repeated.
            for _ in landed:
                self._ends.popleft()

    def flush(self) -> None:
        with translated(f"Queue {self._queue!r}", self._where):
            self._consumer.ready(self._queue)

    def has_caught_up(self) -> bool:
        if self._delivered >= self._enough:
            return True
        # Deliveries that arrived but were not read yet are no silence.
        return self._clock() - self._heard_at > QUIET and not self._consumer.has_arrived()

    def _may_forget(self) -> bool:
        """Whether messages that have landed before can't be redelivered any more."""
        return bool(self._redelivery.unsettled) and self.has_caught_up()

    def close(self) -> None:
        self._closed(self)
        with suppress(ConnectorError), translated(f"Queue {self._queue!r}", self._where):
            self._link.close()


def as_chunk(deliveries: list[Delivery], first: int, *, has_metadata: bool = False) -> Chunk:
    """Deliveries as a chunk; those of a queue are numbered from ``first`` on."""
    now = int(time.time() * 1000)
    return chunk(
        0,
        [first + i if one.offset is None else one.offset for i, one in enumerate(deliveries)],
        [now if one.timestamp is None else one.timestamp for one in deliveries],
        [one.body for one in deliveries],
        keys=[one.key for one in deliveries],
        ids=[one.message_id for one in deliveries],
        metadata=[one.metadata for one in deliveries] if has_metadata else None,
    )
