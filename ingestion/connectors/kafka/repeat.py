"""Reads a range of one partition again."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from typing import Any

from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

from ingestion.connectors.chunk import Chunk
from ingestion.connectors.kafka.failures import translated
from ingestion.connectors.kafka.reader import chunks
from ingestion.connectors.kafka.shared import trouble
from ingestion.errors import BrokerUnreachable, OffsetsGone

log = logging.getLogger(__name__)

#: Seconds without any message after which the broker counts as gone.
PATIENCE = 20.0
_END = KafkaError._PARTITION_EOF  # noqa: SLF001


def repeat(
    config: dict[str, Any], start: TopicPartition, end: int, names: Sequence[str] = ()
) -> Iterator[Chunk]:
    """The messages of one partition from ``start`` up to ``end``; the range may have holes.

    ``names``: the metadata that the chunks have.

    Raises OffsetsGone, BrokerUnreachable and other ConnectorErrors.
    """
    where = config["bootstrap.servers"]
    with translated(f"Topic {start.topic!r}", where):
        consumer = Consumer(config, logger=log)
    try:
        low, _ = _watermarks(consumer, start, where)
        if start.offset < low:
            msg = (
                f"Topic {start.topic!r}, partition {start.partition}: offsets {start.offset} to "
                f"{low} are no longer at the broker."
            )
            raise OffsetsGone(msg, low)
        consumer.assign([start])
        yield from _until(consumer, end, where, names)
    finally:
        consumer.close()


def _watermarks(consumer: Consumer, at: TopicPartition, where: str) -> tuple[int, int]:
    with translated(f"Topic {at.topic!r}", where):
        low, high = consumer.get_watermark_offsets(
            TopicPartition(at.topic, at.partition), timeout=5
        )
        return low, high


def _until(consumer: Consumer, end: int, where: str, names: Sequence[str]) -> Iterator[Chunk]:
    silent_since = time.monotonic()
    while True:
        messages = consumer.consume(10_000, 0.1)
        wanted: list[Message] = []
        ended = False
        for message in messages:
            error = message.error()
            if error is None and (message.offset() or 0) < end:
                wanted.append(message)
                ended = ended or message.offset() == end - 1
            elif error is None or error.code() == _END:
                ended = True
            else:
                raise trouble(error, message, where)
        if wanted:
            silent_since = time.monotonic()
            yield from chunks(wanted, names)
        if ended:
            return
        if time.monotonic() - silent_since > PATIENCE:
            msg = (
                f"Kafka at {where} has not delivered a range again within {PATIENCE:.0f} s. "
                "Millrace retries; check the broker's load."
            )
            raise BrokerUnreachable(msg)
