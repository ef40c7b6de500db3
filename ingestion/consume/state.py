"""The state of one slice: what its steps read and change. It belongs to the slice's one thread."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from threading import Event

from ingestion.connectors.base import Connector
from ingestion.consume.buffer import PartitionBuffer
from ingestion.consume.insert_pool import InsertPool
from ingestion.consume.scheduling import idle_strategy
from ingestion.consume.scheduling.batch_policy import BatchPolicy
from ingestion.consume.scheduling.candidate import Candidate
from ingestion.consume.scheduling.selection import Chooser, Group
from ingestion.consume.source_reader import SourceReader
from ingestion.errors import LeaseLost
from ingestion.leases import lease
from ingestion.monitoring import source_errors


@dataclass(slots=True)
class SliceState:
    """All times are seconds of ``clock``, which only goes forward."""

    owner: str
    connector: Connector
    policy: BatchPolicy
    pool: InsertPool
    chooser: Chooser
    #: Set when an insert ends, or another slice gives a permit back.
    woken: Event
    clock: Callable[[], float]
    should_stop: Callable[[], bool]

    readers: list[SourceReader] = field(default_factory=list)
    #: Readers that have left, with a batch still under way.
    leaving: list[SourceReader] = field(default_factory=list)
    #: Messages that were landed, misfits included.
    rows: int = 0
    #: Nothing more is polled; what has been is landed.
    is_draining: bool = False

    # What one step leaves for the next.
    #: Readers of which something has landed that the broker does not know yet.
    uncommitted: list[SourceReader] = field(default_factory=list)
    #: Batches whose intents stand in Postgres, to be inserted.
    announced: list[Group] = field(default_factory=list)
    #: A heartbeat is through, and what is done is to be settled.
    is_settle_due: bool = False
    #: Messages polled and batches announced in this turn.
    progress: int = 0

    # When what is next.
    ends_at: float = 0.0
    turn_began_at: float = 0.0
    poll_at: float = 0.0
    heartbeat_began_at: float = 0.0
    heartbeat_at: float = 0.0
    #: When a poll last brought something, of any reader.
    brought_at: float = 0.0
    #: Seconds that the last turn took which brought nothing.
    idle_turn_seconds: float = 0.0
    #: Whether this turn has looked what has arrived; only then may it rest.
    has_looked: bool = False
    #: Whether the turn follows on a rest that something has ended.
    was_woken: bool = False

    def begin(self, seconds: float) -> None:
        """Count the slice's time from now: to open a thousand readers can take longer than it."""
        now = self.clock()
        self.ends_at = now + seconds
        self.brought_at = self.poll_at = now

    # --- What is read ---------------------------------------------------------------------------

    def candidates(self) -> list[Candidate]:
        """Every buffer with its reader."""
        return [
            Candidate(reader, buffer)
            for reader in self.readers
            for buffer in reader.buffers.values()
        ]

    def buffers(self) -> list[PartitionBuffer]:
        """The buffers of all readers that have not left."""
        return [buffer for reader in self.readers for buffer in reader.buffers.values()]

    def is_holding(self) -> bool:
        """Whether anything waits in memory, or is being inserted."""
        return not self.pool.is_idle() or any(buffer.waiting for buffer in self.buffers())

    def busy_sources(self, now: float) -> int:
        """How many sources have brought something of late."""
        return sum(idle_strategy.is_busy(reader.brought_at, now) for reader in self.readers)

    def poll_pause(self, now: float) -> float:
        """Seconds between two polls that bring little."""
        busy = self.busy_sources(now)
        return idle_strategy.pause(len(self.readers), busy, self.idle_turn_seconds)

    def schedule_heartbeat(self) -> None:
        """Set when the next one is due, by what this one has taken so far."""
        now = self.clock()
        is_idle = self.busy_sources(now) == 0 and not self.is_holding()
        took = now - self.heartbeat_began_at
        self.heartbeat_at = self.heartbeat_began_at + lease.pause(took, is_idle=is_idle)

    # --- Readers and their leaving --------------------------------------------------------------

    def guarded(self, reader: SourceReader, action: Callable[[], int | None]) -> int:
        """What ``action`` returns; if it fails, the reader leaves and the others go on."""
        try:
            return action() or 0
        except Exception as error:  # noqa: BLE001 - no source may stop the others
            self.leave(reader, error)
            return 0

    def leave(self, reader: SourceReader, error: BaseException | None) -> None:
        """The reader reads no more. Its leases go when its last batch has ended."""
        self.leave_all([reader], error)

    def leave_all(self, readers: Collection[SourceReader], error: BaseException | None) -> None:
        """The same for several, with one reason: None where nothing is wrong.

        Those that have left already have said why.
        """
        gone = {id(reader) for reader in readers}
        leaving = [reader for reader in self.readers if id(reader) in gone]
        self.readers = [reader for reader in self.readers if id(reader) not in gone]
        self.leaving += leaving
        for reader in leaving:
            for buffer in reader.buffers.values():
                buffer.discard()
            if error is not None:
                source_errors.note_exception(reader.source, error)
        self.release()

    def drop_batch(self, candidate: Candidate, error: BaseException | None) -> None:
        """The batch under way has come to nothing here; its next owner finds out what landed."""
        candidate.buffer.under_way = None
        self.leave(candidate.reader, error or _lost(candidate.buffer))

    def release(self) -> None:
        """Close readers that have left and have nothing under way; give back their leases."""
        ended = [reader for reader in self.leaving if not reader.is_inserting()]
        if not ended:
            return
        self.leaving = [reader for reader in self.leaving if reader.is_inserting()]
        for reader in ended:
            reader.close()
        lease.release(self.owner, [pk for reader in ended for pk in reader.partition_ids()])

    def close(self) -> None:
        """Wait for the inserts, and let go of the broker; leases that are still held expire."""
        self.pool.close()
        self.chooser.close()
        for reader in self.readers + self.leaving:
            reader.stream.close()
        self.connector.close()


def _lost(buffer: PartitionBuffer) -> LeaseLost:
    return LeaseLost(
        f"Partition {buffer.lease.number}: another owner has the lease, or the table has changed."
    )
