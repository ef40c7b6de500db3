from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import datetime

from ingestion.connectors.base import Connector, Measured, Watermarks
from ingestion.connectors.chunk import Chunk
from ingestion.connectors.http import spool
from ingestion.connectors.http.reader import HttpReader
from ingestion.connectors.redelivery import Redelivery
from ingestion.models import Source, StreamPartition

#: Seconds between two polls for new events: one query for all sources of a slice.
LOOK_EVERY = 0.025
#: The same while nothing arrives: a base, and an addition per source.
REST_LOOK_EVERY, REST_LOOK_A_SOURCE = 0.2, 0.0004


class HttpConnector(Connector):
    """Reads the spools of all sources that the events endpoint feeds."""

    PARTITIONS = 4_096
    GIVES_OFFSETS = False

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._high: dict[int, int] = {}
        self._looked_at: float | None = None

    def measure(self, sources: Collection[Source]) -> Measured:
        found = StreamPartition.across_tenants.filter(source__in=sources)
        high = {one.source_id: one.high_watermark for one in found}
        return {source.pk: {0: Watermarks(0, high.get(source.pk, 0))} for source in sources}

    def high(self, partition: int) -> int:
        """The offset of the next new event, as of the last poll."""
        return self._high[partition]

    def receive(self, limit: int) -> None:
        """Poll once for all readers, so that they use the same watermarks in one turn."""
        if self._until_look(LOOK_EVERY) == 0:
            self._look()

    def wait(self, seconds: float) -> bool:
        pause = self._until_look(REST_LOOK_EVERY + REST_LOOK_A_SOURCE * len(self._high))
        time.sleep(min(seconds, pause))
        return pause <= seconds and self._look()

    def _until_look(self, every: float) -> float:
        """Seconds until the next poll."""
        if self._looked_at is None:
            return 0.0
        return max(0.0, self._looked_at + every - self._clock())

    def _look(self) -> bool:
        """Fetch the watermarks; returns whether events have arrived since the last poll."""
        found = spool.high_watermarks(list(self._high))
        has_come = any(high > self._high[partition] for partition, high in found.items())
        self._high |= found
        self._looked_at = self._clock()
        return has_come

    def open(
        self,
        source: Source,
        positions: Mapping[int, int],
        redelivery: Redelivery,
        metadata: Sequence[str] = (),
    ) -> HttpReader:
        partition = StreamPartition.across_tenants.get(source=source, number=0)
        self._high[partition.pk] = partition.high_watermark
        return HttpReader(self, partition.pk, positions[0], metadata)

    def repeat(
        self, source: Source, number: int, start: int, end: int, metadata: Sequence[str] = ()
    ) -> Iterator[Chunk]:
        partition = StreamPartition.across_tenants.get(source=source, number=number)
        return spool.read_all(partition.pk, start, end, metadata)

    def offsets_at(self, source: Source, numbers: Collection[int], at: datetime) -> dict[int, int]:
        partition = StreamPartition.across_tenants.get(source=source, number=0)
        later = partition.spool.filter(received_at__gte=at).order_by("first_offset")
        first = later.values_list("first_offset", flat=True).first()
        return {0: partition.high_watermark if first is None else first}

    def forget(self, partition: int) -> None:
        """Stop polling for the partition's events."""
        self._high.pop(partition, None)

    def close(self) -> None:
        self._high.clear()
