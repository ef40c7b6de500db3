from __future__ import annotations

import logging
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

from confluent_kafka import IsolationLevel, TopicCollection, TopicPartition
from confluent_kafka import admin as kafka_admin
from confluent_kafka.admin import AdminClient

from ingestion import hosts
from ingestion.connectors.base import LOOK, Connector, Measured, Watermarks
from ingestion.connectors.chunk import Chunk
from ingestion.connectors.kafka import config
from ingestion.connectors.kafka.commits import Commits
from ingestion.connectors.kafka.failures import translated
from ingestion.connectors.kafka.reader import KafkaReader
from ingestion.connectors.kafka.repeat import repeat
from ingestion.connectors.kafka.shared import SharedConsumer
from ingestion.connectors.redelivery import Redelivery
from ingestion.errors import BrokerUnreachable, ConnectorError
from ingestion.models import Connection, Source

log = logging.getLogger(__name__)

#: The type stubs lack it.
_SPEC: Any = kafka_admin.OffsetSpec  # type: ignore[attr-defined]
#: Seconds that a broker has to answer a query about its topics.
TIMEOUT = 5.0


#: The topic id that a broker before Kafka 2.8 returns (KIP-516).
_NO_ID = "AAAAAAAAAAAAAAAAAAAAAA"


@dataclass(frozen=True, slots=True)
class _Topic:
    partitions: int
    stream_id: str


def _id(given: object) -> str:
    return "" if given is None or str(given) == _NO_ID else str(given)


def group(source: Source) -> str:
    """The consumer group that shows the source's positions in Kafka's tools."""
    return f"millrace-{source.tenant.slug}-{source.name}"


class KafkaConnector(Connector):
    """Talks to one Kafka cluster."""

    PARTITIONS = 4_096

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._where = connection.addresses
        #: One consumer; more only if several sources read the same topic.
        self._shared: list[SharedConsumer] = []
        self._commits = Commits(lambda: self._admin)

    @cached_property
    def _admin(self) -> AdminClient:
        with translated("Connecting to Kafka", self._where):
            return AdminClient(config.admin(self._connection), logger=log)

    def measure(self, sources: Collection[Source]) -> Measured:
        topics = self._described({source.stream for source in sources})
        wanted = [
            TopicPartition(name, number)
            for name, topic in topics.items()
            if isinstance(topic, _Topic)
            for number in range(topic.partitions)
        ]
        low, high = (self._offsets(wanted, spec) for spec in (_SPEC.earliest(), _SPEC.latest()))
        return {
            source.pk: topic
            if isinstance(topic := topics[source.stream], ConnectorError)
            else {
                number: Watermarks(
                    low[source.stream, number], high[source.stream, number], topic.stream_id
                )
                for number in range(topic.partitions)
            }
            for source in sources
        }

    def _described(self, topics: set[str]) -> dict[str, _Topic | ConnectorError]:
        asked = self._admin.describe_topics(
            TopicCollection(sorted(topics)), request_timeout=TIMEOUT
        )
        found: dict[str, _Topic | ConnectorError] = {}
        checked: set[_Leader] = set()
        for topic, future in asked.items():
            try:
                with translated(f"Topic {topic!r}", self._where):
                    answer = _answer(future)
                    checked |= _check_leaders(answer, checked)
                    found[topic] = _Topic(len(answer.partitions), _id(answer.topic_id))
            except BrokerUnreachable:
                raise
            except ConnectorError as error:
                found[topic] = error
        return found

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
        metadata: Sequence[str] = (),
    ) -> KafkaReader:
        shared = next((one for one in self._shared if not one.has(source.stream)), None)
        if shared is None:
            shared = SharedConsumer(config.consumer(self._connection, group(source)))
            self._shared.append(shared)
        return KafkaReader(shared, self._commits, group(source), source.stream, positions, metadata)

    def receive(self, limit: int) -> None:
        for one in self._shared:
            one.receive(limit)

    def commit(self) -> None:
        self._commits.send()

    def wait(self, seconds: float) -> bool:
        # Each consumer has its own queue, and only one queue can be waited for at a time.
        each = seconds if len(self._shared) == 1 else min(seconds / max(1, len(self._shared)), LOOK)
        if not self._shared:
            time.sleep(seconds)
        return any(one.receive(1, each) for one in self._shared)

    def repeat(
        self, source: Source, number: int, start: int, end: int, metadata: Sequence[str] = ()
    ) -> Iterator[Chunk]:
        settings = config.consumer(self._connection, group(source))
        return repeat(settings, TopicPartition(source.stream, number, start), end, metadata)

    def offsets_at(self, source: Source, numbers: Collection[int], at: datetime) -> dict[int, int]:
        wanted = [TopicPartition(source.stream, number) for number in numbers]
        found = self._offsets(wanted, _SPEC.for_timestamp(int(at.timestamp() * 1000)))
        if any(offset < 0 for offset in found.values()):  # nothing of that time or later
            ends = self._offsets(wanted, _SPEC.latest())
            found = {key: ends[key] if at < 0 else at for key, at in found.items()}
        return {number: found[source.stream, number] for number in numbers}

    def close(self) -> None:
        self._commits.close()
        for one in self._shared:
            one.close()
        self._shared = []
        vars(self).pop("_admin", None)  # librdkafka lets go with the last reference


#: A broker's host and port.
_Leader = tuple[str, int]


def _check_leaders(topic: Any, checked: Collection[_Leader] = ()) -> set[_Leader]:
    """Check the advertised addresses of the topic's leaders, which may be any; raises Refused.

    Returns the leaders. A thousand topics have the same few leaders, so each is looked up once.
    """
    leaders = {(one.leader.host, one.leader.port) for one in topic.partitions if one.leader}
    hosts.check_all(hosts.HostPort(host, port) for host, port in leaders.difference(checked))
    return leaders


def _answer(future: Future[Any]) -> Any:
    return future.result(timeout=TIMEOUT + 1)
