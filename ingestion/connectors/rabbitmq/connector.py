from __future__ import annotations

import time
from collections.abc import Collection, Generator, Iterator, Mapping, Sequence
from datetime import datetime
from functools import cached_property

import kombu

from ingestion.connectors.base import Connector, Measured
from ingestion.connectors.chunk import Chunk
from ingestion.connectors.rabbitmq.consumer import QueueConsumer, readable
from ingestion.connectors.rabbitmq.depth import (
    end_offset,
    first_offset,
    is_queue,
    is_stream,
    watermarks,
)
from ingestion.connectors.rabbitmq.link import connect, translated
from ingestion.connectors.rabbitmq.peek import counts_deliveries, taken
from ingestion.connectors.rabbitmq.prefetch import prefetch
from ingestion.connectors.rabbitmq.reader import RabbitReader, as_chunk
from ingestion.connectors.redelivery import Redelivery
from ingestion.errors import (
    BrokerUnreachable,
    CannotPeek,
    CannotRepeat,
    ConnectorError,
    OffsetsGone,
)
from ingestion.models import Connection, Source, StreamPartition

#: Seconds without a delivery after which the broker counts as gone.
PATIENCE = 20.0
_NO_OFFSETS = "A queue has no offsets. It redelivers messages that were not acknowledged."


class RabbitConnector(Connector):
    """Talks to one RabbitMQ broker. Each reader has its own connection."""

    #: Each costs a file descriptor, and a process may have 1,024 by default: with this many for
    #: each of four threads there is room for everything else.
    PARTITIONS = 200

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._where = connection.addresses
        self._readers: set[RabbitReader] = set()

    @cached_property
    def _prefetch(self) -> int:
        return prefetch(self._connection)

    @cached_property
    def _link(self) -> kombu.Connection:
        prefetch(self._connection)  # Reports a bad option when measuring, before consuming.
        return connect(self._connection)

    def measure(self, sources: Collection[Source]) -> Measured:
        positions = {
            partition.source_id: partition.position or 0
            for partition in StreamPartition.across_tenants.filter(source__in=sources)
        }
        measured: Measured = {}
        for source in sources:
            try:
                with translated(f"Queue {source.stream!r}", self._where):
                    found = watermarks(self._link, source.stream, positions.get(source.pk, 0))
                measured[source.pk] = {0: found}
            except BrokerUnreachable:
                raise
            except ConnectorError as error:
                measured[source.pk] = error
        return measured

    def open(
        self,
        source: Source,
        positions: Mapping[int, int],
        redelivery: Redelivery,
        metadata: Sequence[str] = (),
    ) -> RabbitReader:
        limit = self._prefetch
        link = connect(self._connection)
        try:
            with translated(f"Queue {source.stream!r}", self._where):
                consumer = QueueConsumer(link, source.stream, positions[0], limit, metadata)
        except ConnectorError:
            link.close()
            raise
        reader = RabbitReader(
            link,
            consumer,
            source.stream,
            positions[0],
            redelivery,
            limit,
            self._readers.discard,
            has_metadata=bool(metadata),
        )
        self._readers.add(reader)
        return reader

    def wait(self, seconds: float) -> bool:
        if any(reader.has_buffered() for reader in self._readers):
            return True
        return readable([reader.socket for reader in self._readers], seconds) > 0

    def repeat(
        self, source: Source, number: int, start: int, end: int, metadata: Sequence[str] = ()
    ) -> Iterator[Chunk]:
        link = connect(self._connection)
        try:
            if is_queue(link, source.stream):
                raise CannotRepeat(_NO_OFFSETS)
            with translated(f"Queue {source.stream!r}", self._where):
                consumer = QueueConsumer(link, source.stream, start, self._prefetch, metadata)
                if not consumer.is_stream:
                    raise CannotRepeat(_NO_OFFSETS)
                first = first_offset(link, source.stream) or 0
                if first > start:
                    msg = (
                        f"Queue {source.stream!r}: the broker has deleted the offsets {start} to "
                        f"{first - 1}."
                    )
                    raise OffsetsGone(msg, first)
                what = f"Queue {source.stream!r} at {self._where}"
                chunks = _until(consumer, start, end, what, has_metadata=bool(metadata))
                yield from chunks
        finally:
            link.close()

    def peek(self, source: Source, limit: int) -> Generator[Chunk]:
        """As in Connector. A queue's oldest messages are taken, and returned to their places.

        The broker then calls them redelivered. Raises CannotPeek for a quorum queue.
        """
        queue, deliveries = source.stream, []
        with translated(f"Queue {queue!r}", self._where):
            first = None if is_queue(self._link, queue) else first_offset(self._link, queue)
            end = 0 if first is None else end_offset(self._link, queue)
            if not is_stream(self._link, queue):
                self._refuse_counting(queue)
                deliveries = taken(self._link, queue, limit)
        if first is not None:
            # The broker's count of a stream lags behind, so what it sends says where it ends.
            yield from self.repeat(source, 0, max(first, end - limit), end)
        elif deliveries:
            yield as_chunk(deliveries, 0)

    def _refuse_counting(self, queue: str) -> None:
        link = connect(self._connection)
        try:
            if counts_deliveries(link, queue):
                msg = (
                    f"Queue {queue!r} is a quorum queue. It counts each look as a delivery, and "
                    "drops messages after too many. Save some in a file, and use that."
                )
                raise CannotPeek(msg)
        finally:
            link.collect()

    def offsets_at(self, source: Source, numbers: Collection[int], at: datetime) -> dict[int, int]:
        """As in Connector. A stream finds the log chunk that holds the time: it may be earlier."""
        with translated(f"Queue {source.stream!r}", self._where):
            marks = watermarks(self._link, source.stream, 0)
            first = first_offset(self._link, source.stream, at)
        if first is None and not is_stream(self._link, source.stream):
            raise CannotRepeat(_NO_OFFSETS)
        return {0: marks.high if first is None else first}

    def close(self) -> None:
        if "_link" in vars(self):
            self._link.release()


def _until(
    consumer: QueueConsumer, start: int, end: int, what: str, *, has_metadata: bool
) -> Iterator[Chunk]:
    """The complete range of a stream; the broker's own entries in the log leave holes.

    Raises BrokerUnreachable if part of it does not arrive: continuing without it would lose it.
    """
    reached, deadline = start, time.monotonic() + PATIENCE
    while reached < end:
        deliveries = consumer.receive(1_000, 0.05)
        if not deliveries:
            if time.monotonic() > deadline:
                msg = (
                    f"{what} has sent nothing of offsets {reached} to {end - 1} for "
                    f"{PATIENCE:.0f} s. Millrace retries; check the broker's load."
                )
                raise BrokerUnreachable(msg)
            continue
        wanted = [one for one in deliveries if reached <= (one.offset or 0) < end]
        if wanted:
            yield as_chunk(wanted, reached, has_metadata=has_metadata)
        # A stream sends whole chunks of its log, which may begin before the offset asked for.
        reached = max(reached, (deliveries[-1].offset or 0) + 1)
        deadline = time.monotonic() + PATIENCE
        consumer.channel.basic_ack(deliveries[-1].tag, multiple=True)
