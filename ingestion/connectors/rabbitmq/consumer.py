"""A channel that delivers one queue's messages into a list, without acknowledging."""

from __future__ import annotations

import itertools
import select
import ssl
from collections import deque
from collections.abc import Collection
from typing import Any

import kombu
from amqp import Message
from amqp.exceptions import PreconditionFailed

from ingestion.connectors.rabbitmq.delivery import Delivery, of_message
from ingestion.connectors.rabbitmq.frames import Frames

#: Bytes of bodies that one call takes, so that large messages don't pile up by their number.
_BYTES = 16 * 1024 * 1024
#: Messages of a stream on their way at once. RabbitMQ 3.10 reads so many before it sends the first:
#: of chunks with one message each at half a millisecond apiece.
STREAM_CREDIT = 1_000
_tags = itertools.count()


class QueueConsumer:
    """Deliveries of one queue; a stream's from ``offset`` on."""

    def __init__(self, link: kombu.Connection, queue: str, offset: int, prefetch: int) -> None:
        self._link = link
        self._arrived: deque[Delivery] = deque()
        self._bytes = 0
        # AMQP does not say whether a queue is a stream. One that is not refuses a stream's offset,
        # and the refusal closes the channel.
        try:
            self._consume(queue, min(prefetch, STREAM_CREDIT), {"x-stream-offset": offset})
            self.is_stream = True
        except PreconditionFailed:
            self._consume(queue, prefetch, {})
            self.is_stream = False
        self._frames = Frames(self.channel.connection, self.channel.channel_id)

    def _consume(self, queue: str, prefetch: int, arguments: dict[str, Any]) -> None:
        channel: Any = self._link.channel()
        self.channel = channel
        # Bodies are bytes to us, whatever encoding a sender claims.
        channel.auto_decode = False
        self.depth = self.ready(queue)
        channel.basic_qos(0, prefetch, False)
        channel.basic_consume(
            queue,
            consumer_tag=f"millrace-{next(_tags)}",
            callback=self._take,
            arguments=arguments,
        )

    def ready(self, queue: str) -> int:
        """Messages ready in the queue. The answer comes after all acknowledgements before it."""
        return int(self.channel.queue_declare(queue, passive=True).message_count)

    def _take(self, message: Message) -> None:
        self._note(of_message(message))

    def _note(self, one: Delivery) -> None:
        self._arrived.append(one)
        self._bytes += len(one.body)

    @property
    def socket(self) -> Any:
        """The link's; None where the link is lost."""
        connection = self.channel.connection
        return None if connection is None or not connection.connected else connection.sock

    def has_arrived(self) -> bool:
        """Whether ``receive`` would return or raise something, or take in a part of it."""
        return self.has_buffered() or bool(readable([self.socket]))

    def has_buffered(self) -> bool:
        """The same of what is out of the socket already, or can't come any more."""
        link = self.socket
        if link is None or link.fileno() < 0 or self._arrived:
            return True
        # TLS decrypts a record as a whole, of which less may have been asked for.
        return isinstance(link, ssl.SSLSocket) and link.pending() > 0

    def keep_alive(self) -> None:
        """Send a heartbeat if it is time; raises ConnectionForced if none has come for long.

        Of a link that is lost ``receive`` says so.
        """
        if self.socket is None:
            return
        connection = self.channel.connection
        if readable([self.socket]):
            # py-amqp counts what was read. A queue that is not read now, since its tenant holds
            # enough or others are opened, has its heartbeats waiting in the socket.
            connection.bytes_recv += 1
        connection.heartbeat_tick()

    def receive(self, limit: int, wait: float) -> list[Delivery]:
        """Up to ``limit`` deliveries; returns when none has come for ``wait`` seconds.

        Of large ones it takes fewer: about ``_BYTES``.
        """
        try:
            while len(self._arrived) < limit and self._bytes < _BYTES:
                self._frames.read(self._note, wait)
        except TimeoutError:
            pass
        taken = [self._arrived.popleft() for _ in range(min(limit, len(self._arrived)))]
        self._bytes -= sum(len(one.body) for one in taken)
        return taken


def readable(sockets: Collection[Any], seconds: float = 0.0) -> int:
    """How many of the sockets have bytes, or are at their end; waits until then, or ``seconds``.

    By poll, as select knows no more than 1,024 files.
    """
    poll = select.poll()
    for one in sockets:
        poll.register(one, select.POLLIN)
    return len(poll.poll(seconds * 1000))
