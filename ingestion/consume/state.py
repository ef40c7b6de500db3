"""The state of one slice, which its steps read and change. Only the slice's own thread uses it."""

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
    """What a slice knows between its steps. Times are seconds of ``clock``, which never falls."""

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
    #: Readers that read no more and still have a batch under way.
    leaving: list[SourceReader] = field(default_factory=list)
    #: Messages that have landed, including misfits.
    rows: int = 0
    #: The slice polls no more, and only lands what it holds.
    is_draining: bool = False

    # What one step leaves for the next.
    #: Readers with batches that have landed and are not acknowledged to the broker yet.
    uncommitted: list[SourceReader] = field(default_factory=list)
    #: Batches whose intents are in Postgres, ready to be inserted.
    announced: list[Group] = field(default_factory=list)
    #: Set by the heartbeat: the next step settles what is done.
    is_settle_due: bool = False
    #: Messages polled plus batches announced in this turn.
    progress: int = 0

    # When each thing began, or is due.
    ends_at: float = 0.0
    turn_began_at: float = 0.0
    poll_at: float = 0.0
    heartbeat_began_at: float = 0.0
    heartbeat_at: float = 0.0
    #: When a poll of any reader last brought messages.
    brought_at: float = 0.0
    #: Seconds that the last turn without progress took.
    idle_turn_seconds: float = 0.0
    #: Whether this turn has polled. A turn that has not must not rest: messages may have arrived.
    has_looked: bool = False
    #: Whether the connector ended the last rest before its time.
    was_woken: bool = False

    def begin(self, seconds: float) -> None:
        """Count the slice's time from now, because opening a thousand readers may take longer."""
        now = self.clock()
        self.ends_at = now + seconds
        self.brought_at = self.poll_at = now

    # --- What is read ---------------------------------------------------------------------------

    def candidates(self) -> list[Candidate]:
        """Every buffer with its reader, whether messages wait in it or not."""
        return [
            Candidate(reader, buffer)
            for reader in self.readers
            for buffer in reader.buffers.values()
        ]

    def buffers(self) -> list[PartitionBuffer]:
        """The buffers of all readers that have not left."""
        return [buffer for reader in self.readers for buffer in reader.buffers.values()]

    def is_holding(self) -> bool:
        """Whether messages wait in a buffer, or an insert is under way."""
        return not self.pool.is_idle() or any(buffer.waiting for buffer in self.buffers())

    def busy_sources(self, now: float) -> int:
        """How many sources have brought messages recently (``idle_strategy.BUSY``)."""
        return sum(idle_strategy.is_busy(reader.brought_at, now) for reader in self.readers)

    def poll_pause(self, now: float) -> float:
        """Seconds to wait after a poll that brought little."""
        busy = self.busy_sources(now)
        return idle_strategy.pause(len(self.readers), busy, self.idle_turn_seconds)

    def schedule_heartbeat(self) -> None:
        """Set when the next heartbeat is due, by the time that this one has taken so far."""
        now = self.clock()
        is_idle = self.busy_sources(now) == 0 and not self.is_holding()
        took = now - self.heartbeat_began_at
        self.heartbeat_at = self.heartbeat_began_at + lease.pause(took, is_idle=is_idle)

    # --- Readers and their leaving --------------------------------------------------------------

    def guarded(self, reader: SourceReader, action: Callable[[], int | None]) -> int:
        """Return the result of ``action``, or 0 if it raises: then only this reader leaves."""
        try:
            return action() or 0
        except Exception as error:  # noqa: BLE001 - no source may stop the others
            self.leave(reader, error)
            return 0

    def leave(self, reader: SourceReader, error: BaseException | None) -> None:
        """Stop a reader. Its leases are given back when its last batch has ended."""
        self.leave_all([reader], error)

    def leave_all(self, readers: Collection[SourceReader], error: BaseException | None) -> None:
        """Stop several readers and note ``error`` at their sources; None if nothing is wrong.

        Readers that have left already keep the error that they left with.
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
        """Give up the batch under way and stop its reader.

        The intent stays open, so the partition's next owner finds out what of it landed.
        """
        candidate.buffer.under_way = None
        self.leave(candidate.reader, error or _lost(candidate.buffer))

    def release(self) -> None:
        """Close readers that have left and have no batch under way, and give back their leases."""
        ended = [reader for reader in self.leaving if not reader.is_inserting()]
        if not ended:
            return
        self.leaving = [reader for reader in self.leaving if reader.is_inserting()]
        for reader in ended:
            reader.close()
        lease.release(self.owner, [pk for reader in ended for pk in reader.partition_ids()])

    def close(self) -> None:
        """Wait for inserts under way and disconnect from the broker. Leases still held expire."""
        self.pool.close()
        self.chooser.close()
        for reader in self.readers + self.leaving:
            reader.stream.close()
        self.connector.close()


def _lost(buffer: PartitionBuffer) -> LeaseLost:
    return LeaseLost(
        f"Partition {buffer.lease.number}: another owner has the lease, or the table has changed."
    )
