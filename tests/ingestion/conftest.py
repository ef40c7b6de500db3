"""One stream of every kind, on the real brokers, behind one face."""

from __future__ import annotations

import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from urllib.parse import unquote, urlsplit

import kombu
import pytest
from confluent_kafka import KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewPartitions, NewTopic

from ingestion.models import Connection, Source, Table
from ingestion.services.events import accept
from tenants.models import Tenant

COLUMNS = [
    {"name": "n", "type": "UInt32"},
    {"name": "s", "type": "String", "required": False, "default": '""'},
]


class Stream(ABC):
    """A stream of its own for one test. ``has_offsets``: a range of it can be read again."""

    kind: str
    has_offsets = True
    #: Whether a message may be any bytes; the events endpoint takes JSON objects alone.
    takes_anything = True

    def __init__(self, name: str, partitions: int = 1) -> None:
        self.name, self.partitions = name, partitions

    @property
    def stream(self) -> str:
        return self.name

    @abstractmethod
    def connection(self, tenant: Tenant) -> Connection | None: ...

    @abstractmethod
    def send(self, messages: Sequence[bytes], partition: int = 0) -> None: ...

    @abstractmethod
    def remove(self) -> None: ...

    def source(self, table: Table, **fields: Any) -> Source:
        made = Source.objects.create(
            tenant=table.tenant,
            name=fields.pop("name", "events"),
            connection=self.connection(table.tenant),
            stream=self.stream,
            table=table,
            **fields,
        )
        self.made = made
        return made


class KafkaTopic(Stream):
    kind = "kafka"

    def __init__(
        self, servers: str, name: str, partitions: int = 1, config: dict[str, str] | None = None
    ) -> None:
        super().__init__(name, partitions)
        self.servers = servers
        self.admin = AdminClient({"bootstrap.servers": servers})
        settings = config or {}
        wanted = NewTopic(name, partitions, 1, config=settings)
        self.admin.create_topics([wanted])[name].result(120)
        largest = int(settings.get("max.message.bytes", 1_000_000))
        self.producer = Producer(
            {"bootstrap.servers": servers, "linger.ms": 5, "message.max.bytes": largest}
        )

    def connection(self, tenant: Tenant) -> Connection:
        return Connection.objects.create(
            tenant=tenant, name="kafka", kind="kafka", addresses=self.servers
        )

    def send(self, messages: Sequence[bytes], partition: int = 0) -> None:
        for message in messages:
            self.producer.produce(self.name, message, key=b"key", partition=partition)
        assert self.producer.flush(120) == 0

    def delete_before(self, offset: int) -> None:
        """What retention does."""
        at = TopicPartition(self.name, 0, offset)
        self.admin.delete_records([at])[at].result(120)

    def grow(self, partitions: int) -> None:
        wanted = NewPartitions(self.name, partitions)
        self.admin.create_partitions([wanted])[self.name].result(120)
        deadline = time.monotonic() + 120
        while len(self.admin.list_topics(self.name).topics[self.name].partitions) < partitions:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        self._know_it_anew()

    def make_again(self, partitions: int = 1) -> None:
        """Delete it, and create another one of that name."""
        self.remove()
        deadline = time.monotonic() + 120
        while True:
            try:
                wanted = NewTopic(self.name, partitions, 1)
                self.admin.create_topics([wanted])[self.name].result(120)
                break
            except KafkaException:  # it is still being deleted
                assert time.monotonic() < deadline
                time.sleep(0.05)
        self._know_it_anew()

    def _know_it_anew(self) -> None:
        """A producer asks for a topic's partitions every five minutes."""
        self.producer = Producer({"bootstrap.servers": self.servers, "linger.ms": 5})

    def remove(self) -> None:
        self.admin.delete_topics([self.name])[self.name].result(120)


class RabbitQueue(Stream):
    kind = "rabbitmq"

    def __init__(
        self, url: str, name: str, queue_type: str, arguments: dict[str, Any] | None = None
    ) -> None:
        super().__init__(name)
        self.url = urlsplit(url)
        self.has_offsets = queue_type == "stream"
        self.link = kombu.Connection(url)
        self.channel: Any = self.link.channel()
        self.declare({"x-queue-type": queue_type} | (arguments or {}))

    def declare(self, arguments: dict[str, Any]) -> None:
        self.channel.queue_declare(self.name, durable=True, auto_delete=False, arguments=arguments)

    @property
    def address(self) -> str:
        return f"{self.url.hostname}:{self.url.port}"

    def connection(self, tenant: Tenant) -> Connection:
        return Connection.objects.create(
            tenant=tenant,
            name="rabbitmq",
            kind="rabbitmq",
            addresses=self.address,
            username=unquote(self.url.username or ""),
            password=unquote(self.url.password or ""),
        )

    def send(
        self, messages: Sequence[bytes], partition: int = 0, ids: Sequence[str] | None = None
    ) -> None:
        assert partition == 0
        with kombu.Producer(self.link) as producer:
            for number, message in enumerate(messages):
                producer.publish(
                    message,
                    routing_key=self.name,
                    content_type="application/json",
                    content_encoding="utf-8",
                    delivery_mode=2,
                    message_id=ids[number] if ids else str(uuid.uuid4()),
                )

    def send_without_id(self, messages: Sequence[bytes]) -> None:
        with kombu.Producer(self.link) as producer:
            for message in messages:
                producer.publish(
                    message,
                    routing_key=self.name,
                    content_type="application/json",
                    content_encoding="utf-8",
                    delivery_mode=2,
                )

    def depth(self) -> int:
        return int(self.channel.queue_declare(self.name, passive=True).message_count)

    def remove(self) -> None:
        self.channel.queue_delete(self.name)
        self.link.release()


class Endpoint(Stream):
    kind = "http"
    takes_anything = False
    stream = ""  # type: ignore[assignment]

    def connection(self, tenant: Tenant) -> None:
        return None

    def send(self, messages: Sequence[bytes], partition: int = 0) -> None:
        accept(self.made, list(messages))

    def remove(self) -> None:
        pass


@pytest.fixture
def topic(kafka_broker: str, unique: Callable[[str], str]) -> Iterator[Callable[..., KafkaTopic]]:
    made: list[KafkaTopic] = []

    def make(partitions: int = 1, **config: str) -> KafkaTopic:
        """A topic; of its settings the dots are underscores here."""
        settings = {name.replace("_", "."): value for name, value in config.items()}
        made.append(KafkaTopic(kafka_broker, unique("topic"), partitions, settings))
        return made[-1]

    yield make
    for one in made:
        one.remove()


@pytest.fixture
def queue(
    rabbitmq_broker: str, unique: Callable[[str], str]
) -> Iterator[Callable[..., RabbitQueue]]:
    made: list[RabbitQueue] = []

    def make(queue_type: str = "classic", **arguments: Any) -> RabbitQueue:
        """A queue; of its arguments, such as ``x_delivery_limit``, the dashes are underscores."""
        named = {name.replace("_", "-"): value for name, value in arguments.items()}
        made.append(RabbitQueue(rabbitmq_broker, unique("queue"), queue_type, named))
        return made[-1]

    yield make
    for one in made:
        one.remove()


@pytest.fixture(params=["kafka", "classic", "quorum", "stream", "http"])
def stream(request: pytest.FixtureRequest, unique: Callable[[str], str]) -> Stream:
    """A stream of each kind in turn."""
    if request.param == "http":
        return Endpoint(unique("endpoint"))
    if request.param == "kafka":
        return request.getfixturevalue("topic")()
    return request.getfixturevalue("queue")(request.param)


@pytest.fixture
def table(tenant_factory: Callable[..., Tenant], table_factory: Callable[..., Table]) -> Table:
    return table_factory(tenant_factory(), COLUMNS, sorting_key=["n"])
