"""Messages as librdkafka delivers them, and a consumer of it that records its calls."""

from __future__ import annotations

from typing import Any

from confluent_kafka import KafkaError, Message

END = KafkaError._PARTITION_EOF


def message(offset: int, number: int = 0, topic: str = "a", **fields: Any) -> Message:
    plain: dict[str, Any] = {"value": b"{}", "timestamp": (1, 1_700_000_000_000 + offset)}
    return Message(topic=topic, partition=number, offset=offset, **(plain | fields))


def mark(code: int, offset: int = 0, number: int = 0, topic: str | None = "a") -> Message:
    """An end or an error in place of a message."""
    return Message(topic=topic, partition=number, offset=offset, error=KafkaError(code))


class FakeConsumer:
    """``arriving``: what each ``consume`` brings. ``calls``: whatever else it was told."""

    def __init__(self, settings: dict[str, Any], **_: Any) -> None:
        self.settings = settings
        self.arriving: list[list[Message]] = []
        self.calls: list[tuple[Any, ...]] = []
        self.asked: list[tuple[int, float]] = []
        self.failures: dict[str, Exception] = {}
        self.low, self.high = 0, 0

    def consume(self, limit: int, wait: float) -> list[Message]:
        self.asked.append((limit, wait))
        return self.arriving.pop(0) if self.arriving else []

    def get_watermark_offsets(self, at: Any, timeout: float) -> tuple[int, int]:
        self._note("watermarks", [at])
        return self.low, self.high

    def close(self) -> None:
        self._note("close", [])

    def __getattr__(self, name: str) -> Any:
        if name not in {"assign", "incremental_assign", "incremental_unassign", "pause", "resume"}:
            raise AttributeError(name)
        return lambda partitions: self._note(name, partitions)

    def _note(self, name: str, partitions: list[Any]) -> None:
        if name in self.failures:
            raise self.failures.pop(name)
        self.calls.append((name, *((one.topic, one.partition, one.offset) for one in partitions)))

    def called(self, *names: str) -> list[tuple[Any, ...]]:
        return [call for call in self.calls if call[0] in names]
