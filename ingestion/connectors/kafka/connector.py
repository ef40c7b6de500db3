from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import Future
from functools import cached_property
from typing import Any

from confluent_kafka import IsolationLevel, TopicCollection, TopicPartition
from confluent_kafka import admin as kafka_admin
from confluent_kafka.admin import AdminClient

from ingestion.connectors.base import Connector, Measured, Watermarks
from ingestion.connectors.chunk import Chunk
from ingestion.connectors.kafka import config
from ingestion.connectors.kafka.failures import translated
from ingestion.connectors.kafka.reader import KafkaReader
from ingestion.connectors.kafka.repeat import repeat
from ingestion.connectors.redelivery import Redelivery
from ingestion.errors import BrokerUnreachable, ConnectorError
from ingestion.models import Connection, Source

log = logging.getLogger(__name__)

#: The stubs have it nowhere.
_SPEC: Any = kafka_admin.OffsetSpec  # type: ignore[attr-defined]
#: Seconds that a broker has to answer a question about its topics.
TIMEOUT = 5.0


def group(source: Source) -> str:
    """The consumer group under which Kafka's tools see the source's positions."""
    return f"millrace-{source.tenant.slug}-{source.name}"


class KafkaConnector(Connector):
    """One Kafka cluster."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._where = connection.addresses

    @cached_property
    def _admin(self) -> AdminClient:
        with translated("Connecting to Kafka", self._where):
            return AdminClient(config.admin(self._connection), logger=log)

    def measure(self, sources: Collection[Source]) -> Measured:
        counts = self._partition_counts({source.stream for source in sources})
        wanted = [
            TopicPartition(topic, number)
            for topic, count in counts.items()
            if isinstance(count, int)
            for number in range(count)
        ]
        low, high = (self._offsets(wanted, spec) for spec in (_SPEC.earliest(), _SPEC.latest()))
        return {
            source.pk: count
            if isinstance(count := counts[source.stream], ConnectorError)
            else {
                number: Watermarks(low[source.stream, number], high[source.stream, number])
                for number in range(count)
            }
            for source in sources
        }

    def _partition_counts(self, topics: set[str]) -> dict[str, int | ConnectorError]:
        asked = self._admin.describe_topics(
            TopicCollection(sorted(topics)), request_timeout=TIMEOUT
        )
        counts: dict[str, int | ConnectorError] = {}
        for topic, future in asked.items():
            try:
                with translated(f"Topic {topic!r}", self._where):
                    counts[topic] = len(_answer(future).partitions)
            except BrokerUnreachable:
                raise
            except ConnectorError as error:
                counts[topic] = error
        return counts

    def _offsets(self, wanted: list[TopicPartition], spec: Any) -> dict[tuple[str, int], int]:
        asked = self._admin.list_offsets(
            dict.fromkeys(wanted, spec),
            isolation_level=IsolationLevel.READ_COMMITTED,
            request_timeout=TIMEOUT,
        )
        with translated("Asking for offsets", self._where):
            return {
                (one.topic, one.partition): _answer(future).offset for one, future in asked.items()
            }

    def open(
        self,
        source: Source,
        positions: Mapping[int, int],
        redelivery: Redelivery,
    ) -> KafkaReader:
        settings = config.consumer(self._connection, group(source))
        with translated(f"Topic {source.stream!r}", self._where):
            return KafkaReader(settings, source.stream, positions)

    def repeat(self, source: Source, number: int, start: int, end: int) -> Iterator[Chunk]:
        settings = config.consumer(self._connection, group(source))
        return repeat(settings, TopicPartition(source.stream, number, start), end)

    def close(self) -> None:
        vars(self).pop("_admin", None)  # librdkafka lets go with the last reference


def _answer(future: Future[Any]) -> Any:
    return future.result(timeout=TIMEOUT + 1)
