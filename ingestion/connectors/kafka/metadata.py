"""What a Kafka message says about itself, for columns that read it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from confluent_kafka import TIMESTAMP_NOT_AVAILABLE, Message

from ingestion.connectors.metadata_json import moment, written
from ingestion.ddl.metadata import HEADER


def metadata(messages: Iterable[Message], names: Sequence[str]) -> list[bytes]:
    """The metadata of each message: what Kafka has of ``names``."""
    return [written({name: _value(message, name) for name in names}) for message in messages]


def _value(message: Message, name: str) -> Any:
    if name.startswith(HEADER):
        return _header(message, name.removeprefix(HEADER))
    read = _VALUES.get(name)
    return read(message) if read else None


def _header(message: Message, name: str) -> Any:
    """The value of a header; the last one of several, as in Kafka's own clients."""
    headers: Any = message.headers() or ()
    return next((value for key, value in reversed(headers) if key == name), None)


def _timestamp(message: Message) -> Any:
    kind, at = message.timestamp()
    return None if kind == TIMESTAMP_NOT_AVAILABLE else moment(at)


_VALUES: dict[str, Callable[[Message], Any]] = {
    "key": Message.key,
    "topic": Message.topic,
    "partition": Message.partition,
    "offset": Message.offset,
    "timestamp": _timestamp,
}
