"""A channel that collects one queue's deliveries, without acknowledging them."""

from __future__ import annotations

import itertools
import select
import ssl
from collections import deque
from collections.abc import Collection, Sequence
from typing import Any

import kombu
from amqp import Message
from amqp.exceptions import PreconditionFailed

from ingestion.connectors.rabbitmq.delivery import Delivery, of_message
from ingestion.connectors.rabbitmq.frames import Frames

#: Bytes of bodies that one call takes. A limit by number alone would let large messages pile up.
_BYTES = 16 * 1024 * 1024
#: How many messages of a stream may be in flight. RabbitMQ 3.10 reads that many before it sends the
#: first, at half a millisecond each if every chunk of the log holds one message.
STREAM_CREDIT = 1_000
_tags = itertools.count()


class QueueConsumer:
    """Collects the deliveries of one queue, or of a stream from ``offset`` on.

    ``names``: the metadata that they carry.
    """

    def __init__(
        self,
        link: kombu.Connection,
        queue: str,
        offset: int,
        prefetch: int,
        names: Sequence[str] = (),
    ) -> None:
        self._link, self._names = link, names
        self._arrived: deque[Delivery] = deque()
        self._bytes = 0
        # AMQP does not say whether a queue is a stream. A queue that is none refuses the argument
        # x-stream-offset, which closes the channel.
        try:
            self._consume(queue, min(prefetch, STREAM_CREDIT), {"x-stream-offset": offset})
            self.is_stream = True
        except PreconditionFailed:
            self._consume(queue, prefetch, {})
            self.is_stream = False
        self._frames = Frames(self.channel.connection, self.channel.channel_id, names)

    def _consume(self, queue: str, prefetch: int, arguments: dict[str, Any]) -> None:
        channel: Any = self._link.channel()
        self.channel = channel
        # Keep bodies as bytes, whatever encoding the sender claims.
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
        """Messages ready in the queue. RabbitMQ processes earlier acknowledgements first."""
        return int(self.channel.queue_declare(queue, passive=True).message_count)

    def _take(self, message: Message) -> None:
        self._note(of_message(message, self._names))

    def _note(self, delivered: Delivery) -> None:
        self._arrived.append(delivered)
        self._bytes += _size(delivered)

    @property
    def socket(self) -> Any:
        """The link's socket; None if the link is lost."""
        connection = self.channel.connection
        return None if connection is None or not connection.connected else connection.sock

    def has_arrived(self) -> bool:
        """Whether ``receive`` would return or raise something, or read part of a message."""
        return self.has_buffered() or bool(readable([self.socket]))

    def has_buffered(self) -> bool:
        """Like ``has_arrived``, for what polling misses: buffered data, or a lost link."""
        link = self.socket
        if link is None or link.fileno() < 0 or self._arrived:
            return True
        # TLS decrypts a whole record, so decrypted bytes may be left from the last read.
        return isinstance(link, ssl.SSLSocket) and link.pending() > 0

    def keep_alive(self) -> None:
        """Send a heartbeat if it is due; raises ConnectionForced if none has arrived for long.

        A lost link is reported by ``receive``.
        """
        if self.socket is None:
            return
        connection = self.channel.connection
        if readable([self.socket]):
            # py-amqp counts the bytes that were read. While this queue is not read, because its
            # tenant holds enough or others are being opened, heartbeats wait in the socket.
            connection.bytes_recv += 1
        connection.heartbeat_tick()

    def receive(self, limit: int, wait: float) -> list[Delivery]:
        """Up to ``limit`` deliveries, or about ``_BYTES``; returns after ``wait`` s of silence."""
        try:
            while len(self._arrived) < limit and self._bytes < _BYTES:
                self._frames.read(self._note, wait)
        except TimeoutError:
            pass
        taken = [self._arrived.popleft() for _ in range(min(limit, len(self._arrived)))]
        self._bytes -= sum(map(_size, taken))
        return taken


def _size(delivered: Delivery) -> int:
    return len(delivered.body) + len(delivered.metadata)


def readable(sockets: Collection[Any], seconds: float = 0.0) -> int:
    """How many of the sockets have data or are closed; waits up to ``seconds`` for the first.

    Uses poll, because select supports only 1,024 file descriptors.
    """
    poll = select.poll()
    for socket in sockets:
        poll.register(socket, select.POLLIN)
    return len(poll.poll(seconds * 1000))
