from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping
from functools import cached_property
from typing import Any

import kombu

from ingestion.connectors.base import Connector, Measured, Watermarks
from ingestion.connectors.chunk import Chunk
from ingestion.connectors.rabbitmq.consumer import QueueConsumer
from ingestion.connectors.rabbitmq.link import connect, translated
from ingestion.connectors.rabbitmq.reader import RabbitReader, as_chunk
from ingestion.connectors.redelivery import Redelivery
from ingestion.errors import BrokerUnreachable, CannotRepeat, ConnectorError
from ingestion.models import Connection, Source, StreamPartition

#: Deliveries that may wait for their acknowledgement; option ``prefetch`` of a connection.
PREFETCH = 20_000
#: Seconds in which a stream delivers the first message of a range that it has.
PATIENCE = 5.0


class RabbitConnector(Connector):
    """One RabbitMQ broker. Each reader has a connection of its own."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._where = connection.addresses
        self._prefetch = int(connection.options.get("prefetch", PREFETCH))

    @cached_property
    def _link(self) -> kombu.Connection:
        return connect(self._connection)

    def measure(self, sources: Collection[Source]) -> Measured:
        positions = {
            partition.source_id: partition.position or 0
            for partition in StreamPartition.objects.filter(source__in=sources)
        }
        measured: Measured = {}
        for source in sources:
            try:
                measured[source.pk] = {0: self._watermarks(source, positions.get(source.pk, 0))}
            except BrokerUnreachable:
                raise
            except ConnectorError as error:
                measured[source.pk] = error
        return measured

    def _watermarks(self, source: Source, position: int) -> Watermarks:
        """A queue's depth is counted from our position on, a stream's from its beginning."""
        with translated(f"Queue {source.stream!r}", self._where):
            channel: Any = self._link.channel()
            try:
                declared = channel.queue_declare(source.stream, passive=True)
                ready = int(declared.message_count)
            finally:
                if channel.connection is not None:
                    channel.close()
        return Watermarks(0, position + ready)

    def open(
        self, source: Source, positions: Mapping[int, int], redelivery: Redelivery
    ) -> RabbitReader:
        link = connect(self._connection)
        with translated(f"Queue {source.stream!r}", self._where):
            consumer = QueueConsumer(link, source.stream, positions[0], self._prefetch)
        return RabbitReader(link, consumer, source.stream, positions[0], redelivery, self._prefetch)

    def repeat(self, source: Source, number: int, start: int, end: int) -> Iterator[Chunk]:
        link = connect(self._connection)
        try:
            with translated(f"Queue {source.stream!r}", self._where):
                consumer = QueueConsumer(link, source.stream, start, self._prefetch)
                yield from _until(consumer, start, end)
        finally:
            link.close()

    def close(self) -> None:
        if "_link" in vars(self):
            self._link.release()


def _until(consumer: QueueConsumer, start: int, end: int) -> Iterator[Chunk]:
    at = start
    deadline = time.monotonic() + PATIENCE
    while at < end and time.monotonic() < deadline:
        deliveries = consumer.receive(1_000, 0.05)
        if deliveries and deliveries[0].offset is None:
            break
        wanted = [one for one in deliveries if at <= (one.offset or 0) < end]
        if wanted:
            made = as_chunk(wanted, at)
            at, deadline = made.to_offset, time.monotonic() + PATIENCE
            consumer.channel.basic_ack(deliveries[-1].tag, multiple=True)
            yield made
    if at == start:
        raise CannotRepeat("A queue has no offsets; it delivers again what was not acknowledged.")
