"""The interface that every connector has.

A connector speaks to one broker for one slice. It tells where streams begin and end, opens readers,
and reads a range again. A reader delivers one source's messages in order, and is told what is
safely in the table: acknowledging is always last.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from ingestion.connectors.chunk import Chunk
from ingestion.connectors.redelivery import Redelivery
from ingestion.errors import ConnectorError
from ingestion.models import Source

#: Seconds between two looks, where a connector can't wait for messages.
LOOK = 0.05


@dataclass(frozen=True, slots=True)
class Watermarks:
    """``low``: the oldest offset the broker has; ``high``: the offset of the next new message.

    ``stream_id``: which stream of that name it is; empty where the broker gives none.
    """

    low: int
    high: int
    stream_id: str = field(default="", compare=False)


#: Of each source by its key: the watermarks of its partitions, or why there are none.
Measured = dict[int, Mapping[int, Watermarks] | ConnectorError]


class Reader(ABC):
    """The messages of one source's partitions, from their positions on. Used by one thread.

    ``holds``: messages that the broker sends before it waits for the first to be acknowledged; None
    where it waits for nothing.
    """

    holds: int | None = None

    @abstractmethod
    def poll(self, limit: int) -> list[Chunk]:
        """What has arrived, about ``limit`` messages at most, without waiting.

        Raises ConnectorError; what was delivered before stays good.
        """

    def has_arrived(self) -> bool:
        """Whether ``poll`` may return or raise something. Cheaper than to poll; may be a guess."""
        return True

    def keep_alive(self) -> None:  # noqa: B027 - where the link needs none
        """Tell the broker that this end lives, and raise ConnectorError if the other does not.

        Called every few seconds, whatever else the slice is busy with.
        """

    @abstractmethod
    def acknowledge(self, positions: Mapping[int, int]) -> None:
        """All before ``positions`` (by partition) is in the table; the broker may forget it."""

    @abstractmethod
    def flush(self) -> None:
        """Return once the broker has seen all acknowledgements; raises ConnectorError."""

    @abstractmethod
    def has_caught_up(self) -> bool:
        """Whether all that was delivered to an earlier reader, and not acknowledged, has come."""

    @abstractmethod
    def close(self) -> None:
        """Let go of the stream. What was delivered and not acknowledged will come again."""


class Connector(ABC):
    """One broker, for one slice. Used by one thread.

    ``PARTITIONS``: so many a slice leases at most; the rest is for other slices, at once.
    ``GIVES_OFFSETS``: the broker, and not Millrace, says where streams begin and end.
    """

    PARTITIONS = 16
    GIVES_OFFSETS = True

    @abstractmethod
    def measure(self, sources: Collection[Source]) -> Measured:
        """Where the sources' partitions begin and end.

        Raises ConnectorError where the broker as a whole fails; of one source it is the value.
        """

    @abstractmethod
    def open(self, source: Source, positions: Mapping[int, int], redelivery: Redelivery) -> Reader:
        """Read the source's partitions from ``positions`` on; raises ConnectorError."""

    def receive(self, limit: int) -> None:  # noqa: B027 - where readers have links of their own
        """Take in what has arrived for all readers, up to ``limit`` messages, without waiting.

        Readers then have it to poll. Raises ConnectorError where the broker as a whole fails.
        """

    def commit(self) -> None:  # noqa: B027 - where readers have told the broker already
        """Tell the broker what readers were told to acknowledge, where it is told for all at once.

        Raises ConnectorError where the broker as a whole fails.
        """

    def wait(self, seconds: float) -> bool:
        """Wait until something may have arrived for a reader: up to ``seconds``, or less.

        Returns whether something may have. What became of a lost link is for the readers to raise;
        it ends the wait. Raises ConnectorError where the broker as a whole fails.
        """
        time.sleep(min(seconds, LOOK))
        return True

    @abstractmethod
    def repeat(self, source: Source, number: int, start: int, end: int) -> Iterator[Chunk]:
        """The messages with offsets in ``[start, end)`` of one partition, once more.

        Raises CannotRepeat where the stream has no offsets, OffsetsGone where they were deleted.
        """

    @abstractmethod
    def offsets_at(self, source: Source, numbers: Collection[int], at: datetime) -> dict[int, int]:
        """Of each partition the offset of its first message of ``at`` or later.

        The end, where there is none. Raises CannotRepeat where the stream has no offsets.
        """

    @abstractmethod
    def close(self) -> None:
        """Let go of the broker."""
