from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ingestion.connectors.base import Reader
from ingestion.connectors.chunk import Chunk
from ingestion.connectors.http import spool

if TYPE_CHECKING:
    from ingestion.connectors.http.connector import HttpConnector


class HttpReader(Reader):
    """The spool of one source: partition 0."""

    def __init__(
        self,
        connector: HttpConnector,
        partition: int,
        position: int,
        metadata: Sequence[str] = (),
    ) -> None:
        self._connector, self._partition, self._next = connector, partition, position
        self._metadata = metadata

    def poll(self, limit: int) -> list[Chunk]:
        high = self._connector.high(self._partition)
        if high <= self._next:
            return []
        found = spool.read(self._partition, self._next, high, metadata=self._metadata)
        if found is None:
            return []
        self._next = found.to_offset
        return [found]

    def has_arrived(self) -> bool:
        return self._connector.high(self._partition) > self._next

    def acknowledge(self, positions: Mapping[int, int]) -> None:
        spool.forget(self._partition, positions[0])

    def flush(self) -> None:
        pass  # Positions are in Postgres; there is no broker to tell.

    def has_caught_up(self) -> bool:
        return True

    def close(self) -> None:
        self._connector.forget(self._partition)
