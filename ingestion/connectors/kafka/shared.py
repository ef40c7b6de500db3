"""One consumer for many topics: a thousand sources cost a worker one client, not a thousand.

Partitions are assigned, never subscribed. Messages go into a tray per topic, from which the topic's
reader takes them. A topic whose tray is full is paused, so that a flooding topic does not delay the
others; its messages stay at the broker. The total of all trays is bounded too, because after an
outage a thousand topics have a backlog at once.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from ingestion.connectors.kafka import config
from ingestion.connectors.kafka.failures import failure, translated
from ingestion.errors import ConnectorError, OffsetsGone

log = logging.getLogger(__name__)

_GONE = {KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE}  # noqa: SLF001
_ALL_DOWN = KafkaError._ALL_BROKERS_DOWN  # noqa: SLF001
_END = KafkaError._PARTITION_EOF  # noqa: SLF001
#: Messages and bytes that a tray holds before its topic is paused.
FULL, FULL_BYTES = 20_000, 16 * 1024 * 1024
#: The same for all trays together: above it, a topic that has more than its share is paused.
FULL_ALL, FULL_BYTES_ALL = 100_000, 64 * 1024 * 1024
#: A paused topic resumes when its tray is down to LOW of what it may hold. While all trays together
#: hold more than LOW_ALL of their limit, that is the topic's share. The hysteresis matters: pausing
#: a topic discards what the client has already fetched of it.
LOW, LOW_ALL = 1 / 4, 1 / 2


@dataclass(slots=True)
class Tray:
    """What has arrived of one topic. ``ends``: the ends that were reached, by partition."""

    topic: str
    positions: Mapping[int, int]
    messages: list[Message] = field(default_factory=list)
    bytes: int = 0
    ends: dict[int, int] = field(default_factory=dict)
    error: ConnectorError | None = None
    is_paused: bool = False

    def has_arrived(self) -> bool:
        """Whether ``take`` would return or raise something."""
        return bool(self.messages or self.ends or self.error)

    def take(self, limit: int) -> tuple[list[Message], dict[int, int]]:
        """Take up to ``limit`` messages; ends come with the last of them. Raises ConnectorError."""
        if len(self.messages) <= limit:
            taken, self.messages, ends, self.ends = self.messages, [], self.ends, {}
            self.bytes = 0
            if not taken and self.error is not None:
                raise self.error
            return taken, ends
        taken, self.messages = self.messages[:limit], self.messages[limit:]
        self.bytes = max(0, self.bytes - sum(map(len, taken)))
        return taken, {}

    def partitions(self) -> list[TopicPartition]:
        return [TopicPartition(self.topic, number, at) for number, at in self.positions.items()]

    def is_beyond(self, messages: float, size: float) -> bool:
        """Whether it holds at least so many messages or bytes."""
        return len(self.messages) >= messages or self.bytes >= size


class SharedConsumer:
    """A consumer shared by readers of different topics. Used by one thread."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._settings = dict(settings)
        self._where = settings["bootstrap.servers"]
        self._consumer: Consumer | None = None
        self._trays: dict[str, Tray] = {}
        self._added: dict[str, Tray] = {}
        self._removed: list[TopicPartition] = []
        self._paused: list[TopicPartition] = []
        self._down: KafkaError | None = None

    def has(self, topic: str) -> bool:
        return topic in self._trays

    def add(self, topic: str, positions: Mapping[int, int]) -> Tray:
        """Read the topic's partitions from ``positions`` on, starting with the next ``receive``."""
        tray = Tray(topic, dict(positions))
        self._trays[topic] = self._added[topic] = tray
        return tray

    def remove(self, topic: str) -> None:
        """Stop reading the topic."""
        tray = self._trays.pop(topic, None)
        if tray is not None and self._added.pop(topic, None) is None:
            self._removed += tray.partitions()
            if tray.is_paused:
                self._paused += tray.partitions()

    def raise_if_down(self, topic: str) -> None:
        """Raise ConnectorError while no broker answers."""
        if self._down is not None:
            raise failure(self._down, f"Topic {topic!r}", self._where)

    def is_down(self) -> bool:
        """Whether no broker answers."""
        return self._down is not None

    def receive(self, limit: int, wait: float = 0.0) -> bool:
        """Move up to ``limit`` arrived messages into the trays; returns whether any arrived.

        Waits up to ``wait`` seconds for that many. Raises ConnectorError.
        """
        self._assign()
        if self._consumer is None:
            return False
        self._resume()
        # While too much is held, no topic gets more at once than its share.
        most, _ = self._allowed(1)
        messages = self._consumer.consume(max(1, min(limit, int(most))), wait)
        if not messages:
            return False
        self._down = None
        if any(map(Message.error, messages)):
            messages = [one for one in messages if not self._is_mark(one)]
        for topic, arrived in self._by_topic(messages):
            self._lay(topic, arrived)
        self._pause()
        return True

    def _by_topic(self, messages: list[Message]) -> Iterable[tuple[str, list[Message]]]:
        if len(self._trays) == 1:
            return [(next(iter(self._trays)), messages)]
        return ((topic or "", list(run)) for topic, run in groupby(messages, key=Message.topic))

    def _lay(self, topic: str, arrived: list[Message]) -> None:
        tray = self._trays.get(topic)
        if tray is None:
            return  # The topic was removed meanwhile.
        tray.messages += arrived
        if len(self._trays) > 1:
            tray.bytes += sum(map(len, arrived))

    def _pause(self) -> None:
        """Pause topics whose trays are full, or too full for all of them together."""
        if len(self._trays) == 1 or self._consumer is None:
            return
        messages, size = self._allowed(1)
        for tray in self._trays.values():
            if not tray.is_paused and tray.is_beyond(messages, size):
                tray.is_paused = True
                self._consumer.pause(tray.partitions())

    def _resume(self) -> None:
        paused = [one for one in self._trays.values() if one.is_paused]
        if not paused or self._consumer is None:
            return
        messages, size = self._allowed(LOW_ALL)
        for tray in paused:
            if not tray.is_beyond(messages * LOW, size * LOW):
                tray.is_paused = False
                self._consumer.resume(tray.partitions())

    def _allowed(self, part: float) -> tuple[float, float]:
        """Messages and bytes at which a tray is full; less if all trays hold ``part`` of theirs."""
        trays = self._trays.values()
        if len(trays) < 2:
            return FULL, FULL_BYTES
        messages, size = sum(len(one.messages) for one in trays), sum(one.bytes for one in trays)
        if messages < FULL_ALL * part and size < FULL_BYTES_ALL * part:
            return FULL, FULL_BYTES
        return min(FULL, FULL_ALL / len(trays)), min(FULL_BYTES, FULL_BYTES_ALL / len(trays))

    def _is_mark(self, message: Message) -> bool:
        """Whether it is not a message but marks an end or an error, which is then noted."""
        error = message.error()
        if error is None:
            return False
        tray = self._trays.get(message.topic() or "")
        if error.code() == _END:
            if tray is not None:
                tray.ends[message.partition() or 0] = message.offset() or 0
        elif tray is not None:
            tray.error = trouble(error, message, self._where)
        elif message.topic() is None:
            for one in self._trays.values():
                one.error = trouble(error, message, self._where)
        return True

    def _assign(self) -> None:
        """Assign the topics that were added, and unassign those that were removed."""
        if not (self._added or self._removed):
            return
        wanted = [one for tray in self._added.values() for one in tray.partitions()]
        with translated("Assigning partitions", self._where):
            if self._consumer is None:
                self._consumer = self._made(len(wanted))
                self._consumer.assign(wanted)
            else:
                if self._paused:
                    # A partition stays paused beyond its assignment, and would be so in the next.
                    self._consumer.resume(self._paused)
                if self._removed:
                    self._consumer.incremental_unassign(self._removed)
                if wanted:
                    self._consumer.incremental_assign(wanted)
        self._added, self._removed, self._paused = {}, [], []

    def _made(self, partitions: int) -> Consumer:
        settings = config.for_partitions(self._settings, partitions)
        return Consumer(settings | {"error_cb": self._note}, logger=log)

    def _note(self, error: KafkaError) -> None:
        if error.code() == _ALL_DOWN or error.fatal():
            self._down = error

    def close(self) -> None:
        """Close the consumer; never raises."""
        if self._consumer is not None:
            try:
                self._consumer.close()
            except KafkaException as error:
                log.info("Closing a consumer of Kafka at %s: %s", self._where, error)
            self._consumer = None


def trouble(error: KafkaError, message: Message, where: str) -> ConnectorError:
    """The exception for an error that arrived in place of a message."""
    topic, number = message.topic(), message.partition()
    if error.code() in _GONE:
        text = f"Topic {topic!r}, partition {number}: offset {message.offset()} does not exist."
        return OffsetsGone(text, low=-1)
    return failure(error, "Kafka" if topic is None else f"Topic {topic!r}", where)
