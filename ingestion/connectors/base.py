"""The interface of all connectors.

A connector talks to one broker for one slice. It measures where streams begin and end, opens
readers, and reads a range again. A reader delivers one source's messages in order. Messages are
acknowledged last, once they are safely in the table.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Collection, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from ingestion.connectors.chunk import Chunk
from ingestion.connectors.redelivery import Redelivery
from ingestion.errors import ConnectorError
from ingestion.models import Source

#: Seconds between two polls, for connectors that can't wait for messages.
LOOK = 0.05


@dataclass(frozen=True, slots=True)
class Watermarks:
    """``low``: the oldest offset at the broker; ``high``: the offset of the next new message.

    ``stream_id``: the broker's id of the stream, which changes if a stream of the same name is
    created again; empty if the broker has no such ids.
    """

    low: int
    high: int
    stream_id: str = field(default="", compare=False)


#: The most partitions that a peek reads, those with most messages: each costs a consumer.
PEEKED = 16
#: By the source's primary key: the watermarks by partition number, or the error of that source.
Measured = dict[int, Mapping[int, Watermarks] | ConnectorError]


class Reader(ABC):
    """Reads one source's partitions from their positions on. Used by one thread.

    ``holds``: how many messages the broker sends before it waits for an acknowledgement; None if
    it never waits. ``is_queue``: there are no offsets to read from; what was not acknowledged is
    delivered again, to any reader.
    """

    holds: int | None = None
    is_queue: bool = False

    @abstractmethod
    def poll(self, limit: int) -> list[Chunk]:
        """Return what has arrived, about ``limit`` messages at most, without waiting.

        Raises ConnectorError; messages that were delivered before stay valid.
        """

    def has_arrived(self) -> bool:
        """Whether ``poll`` may return or raise something. Cheaper than polling; may be a guess."""
        return True

    def keep_alive(self) -> None:  # noqa: B027 - not every link needs heartbeats
        """Send the broker a heartbeat; raises ConnectorError if the broker sends none.

        Called every few seconds, whatever else the slice is doing.
        """

    @abstractmethod
    def acknowledge(self, positions: Mapping[int, int]) -> None:
        """Acknowledge all messages before ``positions`` (by partition): they are in the table."""

    @abstractmethod
    def flush(self) -> None:
        """Wait until the broker has received all acknowledgements; raises ConnectorError."""

    @abstractmethod
    def has_caught_up(self) -> bool:
        """Whether all messages that an earlier reader left unacknowledged have been redelivered."""

    @abstractmethod
    def close(self) -> None:
        """Release the stream. Messages that were not acknowledged will be delivered again."""


class Connector(ABC):
    """Talks to one broker, for one slice. Used by one thread.

    ``PARTITIONS``: how many partitions a slice leases at most; it leaves the rest to other slices.
    ``GIVES_OFFSETS``: whether the broker, not Millrace, decides where streams begin and end.
    """

    PARTITIONS = 16
    GIVES_OFFSETS = True

    @abstractmethod
    def measure(self, sources: Collection[Source]) -> Measured:
        """Measure where the sources' partitions begin and end.

        Raises ConnectorError if the broker as a whole fails. The error of a single source is its
        value in the result.
        """

    @abstractmethod
    def open(
        self,
        source: Source,
        positions: Mapping[int, int],
        redelivery: Redelivery,
        metadata: Sequence[str] = (),
    ) -> Reader:
        """Read the source's partitions from ``positions`` on; raises ConnectorError.

        ``metadata``: the names of what the table's columns read beside the messages.
        """

    def receive(self, limit: int) -> None:  # noqa: B027 - readers may have links of their own
        """Receive what has arrived for all readers, up to ``limit`` messages, without waiting.

        The readers then return it from ``poll``. Raises ConnectorError if the broker fails.
        """

    def commit(self) -> None:  # noqa: B027 - readers may have acknowledged already
        """Send the acknowledgements of all readers, for brokers that take them together.

        Raises ConnectorError if the broker as a whole fails.
        """

    def wait(self, seconds: float) -> bool:
        """Wait up to ``seconds``, or less, until something may have arrived for a reader.

        Returns whether something may have. A lost link ends the wait; its reader raises the error.
        Raises ConnectorError if the broker as a whole fails.
        """
        time.sleep(min(seconds, LOOK))
        return True

    @abstractmethod
    def repeat(
        self, source: Source, number: int, start: int, end: int, metadata: Sequence[str] = ()
    ) -> Iterator[Chunk]:
        """Read the messages with offsets in ``[start, end)`` of one partition again.

        With the ``metadata`` of ``open``, each message has the same metadata, byte by byte.

        Raises CannotRepeat if the stream has no offsets, OffsetsGone if they were deleted.
        """

    def peek(self, source: Source, limit: int) -> Generator[Chunk]:
        """Read about the newest ``limit`` messages, and leave the stream as it is.

        Nothing is acknowledged or committed. Raises ConnectorError.
        """
        measured = self.measure([source])[source.pk]
        if isinstance(measured, ConnectorError):
            raise measured
        for number, (start, end) in _newest(measured, limit).items():
            yield from self.repeat(source, number, start, end)

    @abstractmethod
    def offsets_at(self, source: Source, numbers: Collection[int], at: datetime) -> dict[int, int]:
        """The offset of the first message of time ``at`` or later, for each partition.

        It is the end of the partition if there is no such message. Raises CannotRepeat if the
        stream has no offsets.
        """

    @abstractmethod
    def close(self) -> None:
        """Close the connection to the broker."""


def _newest(partitions: Mapping[int, Watermarks], limit: int) -> dict[int, tuple[int, int]]:
    """A range of each partition that has messages: together the newest ``limit``, evenly.

    A partition that has less than its share leaves the rest to the others.
    """
    filled = sorted(
        (marks.high - marks.low, number)
        for number, marks in partitions.items()
        if marks.high > marks.low
    )[-PEEKED:]
    ranges = {}
    for place, (count, number) in enumerate(filled):
        taken = min(count, -(-limit // (len(filled) - place)))
        limit -= taken
        if taken:
            high = partitions[number].high
            ranges[number] = (high - taken, high)
    return ranges
