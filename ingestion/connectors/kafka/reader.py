from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from itertools import groupby
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from ingestion.connectors.base import Reader
from ingestion.connectors.chunk import Chunk, chunk
from ingestion.connectors.kafka.failures import failure
from ingestion.errors import ConnectorError, OffsetsGone

log = logging.getLogger(__name__)

_GONE = {KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE}  # noqa: SLF001
_ALL_DOWN = KafkaError._ALL_BROKERS_DOWN  # noqa: SLF001


class KafkaReader(Reader):
    """The assigned partitions of one topic."""

    def __init__(self, config: dict[str, Any], topic: str, positions: Mapping[int, int]) -> None:
        self._topic = topic
        self._where = config["bootstrap.servers"]
        self._down: KafkaError | None = None
        self._commits: dict[int, int] = {}
        self._consumer = Consumer(config | {"error_cb": self._note}, logger=log)
        self._consumer.assign(
            [TopicPartition(topic, number, at) for number, at in positions.items()]
        )

    def _note(self, error: KafkaError) -> None:
        if error.code() == _ALL_DOWN or error.fatal():
            self._down = error

    def poll(self, limit: int) -> list[Chunk]:
        messages = self._consumer.consume(limit, 0)
        if not messages:
            self._raise_if_down()
            return []
        self._down = None
        if any(map(Message.error, messages)):
            messages = [one for one in messages if not self._is_error(one)]
        return chunks(messages)

    def _raise_if_down(self) -> None:
        if self._down is not None:
            raise failure(self._down, f"Topic {self._topic!r}", self._where)

    def _is_error(self, message: Message) -> bool:
        error = message.error()
        if error is None:
            return False
        raise trouble(error, message, self._where)

    def acknowledge(self, positions: Mapping[int, int]) -> None:
        self._commits |= positions
        self._commit(wait=False)

    def _commit(self, *, wait: bool) -> None:
        offsets = [TopicPartition(self._topic, n, at) for n, at in self._commits.items()]
        try:
            if wait:
                self._consumer.commit(offsets=offsets, asynchronous=False)
            else:
                self._consumer.commit(offsets=offsets, asynchronous=True)
        except KafkaException as error:
            # Our own position is what counts; the group's is for other tools to see.
            log.info("Committing to the group of %s: %s", self._topic, error)
        else:
            self._commits = self._commits if not wait else {}

    def flush(self) -> None:
        pass  # positions are ours, and what the broker knows of them is for others to see

    def has_caught_up(self) -> bool:
        return True

    def close(self) -> None:
        if self._commits and self._down is None:
            self._commit(wait=True)
        self._consumer.close()


#: The stubs allow for messages without an offset: those that stand for errors, and are none here.
_offset: Callable[[Message], int] = Message.offset  # type: ignore[assignment]


def chunks(messages: list[Message]) -> list[Chunk]:
    """One chunk a partition; ``messages`` hold no errors. About 0.6 µs a message."""
    by_number: dict[Any, list[Message]] = {}
    for number, run in groupby(messages, key=Message.partition):
        by_number.setdefault(number, []).extend(run)
    return [
        chunk(
            number,
            list(map(_offset, run)),
            [time for _, time in map(Message.timestamp, run)],
            list(map(Message.value, run)),
            keys=list(map(Message.key, run)),
        )
        for number, run in by_number.items()
    ]


def trouble(error: KafkaError, message: Message, where: str) -> ConnectorError:
    """The exception for an error that came in place of a message."""
    topic, number = message.topic(), message.partition()
    if error.code() in _GONE:
        text = f"Topic {topic!r}, partition {number}: offset {message.offset()} is not there."
        return OffsetsGone(text, low=-1)
    return failure(error, f"Topic {topic!r}", where)
