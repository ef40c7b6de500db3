"""A slice: some seconds of consuming one connection, for as many sources as its leases cover.

One turn: collect inserts that ended; beat; pull from each reader; cut what is due; where
all that came to nothing, wait. All state belongs to this one thread; the inserter's threads only
wait for ClickHouse.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from threading import Event

from django.conf import settings

from ingestion.batches import announce, settle
from ingestion.batches.batch import BatchStats, PendingBatch
from ingestion.connectors.registry import connect
from ingestion.consume import shutdown
from ingestion.consume.buffer import PartitionBuffer
from ingestion.consume.insert_pool import SMALL, Inserter
from ingestion.consume.open import open_source_readers
from ingestion.consume.scheduling import idle_strategy, insert_slots
from ingestion.consume.scheduling.batch_policy import BatchPolicy, from_settings
from ingestion.consume.scheduling.due import due_batches, readers_below_share
from ingestion.consume.scheduling.grouping import TOGETHER, Pair
from ingestion.consume.scheduling.idle_strategy import MANY, REST, STEP
from ingestion.consume.scheduling.selection import Chooser, Group
from ingestion.consume.source_reader import SourceReader
from ingestion.errors import ConnectorError, LeaseLost
from ingestion.leases import lease, rebalance, yielding
from ingestion.models import Connection, Source
from ingestion.monitoring import quarantine_limit, source_errors
from tenants.plans import holds

log = logging.getLogger(__name__)

#: Messages that one pull from one reader takes, before the next reader has its turn.
PULL = 10_000
#: How many times as long it may take while as many inserts are under way as may be.
BUSY_PATIENCE = 3
#: Seconds without any message after which the slice makes room for other connections.
IDLE = 5.0


class Slice:
    """Use: ``Slice(connection_id).run()``. The clock counts seconds and only goes forward.

    When its time is over, or nothing has come for IDLE seconds, ``may_go_on`` is asked whether
    another turn may follow at once; without it the slice ends.

    After it, ``rows`` says how many messages were landed, misfits included.
    """

    def __init__(
        self,
        connection_id: int | None,
        *,
        seconds: float | None = None,
        policy: BatchPolicy | None = None,
        should_stop: Callable[[], bool] = shutdown.is_stopping,
        may_go_on: Callable[[Collection[Source]], bool] = lambda _: False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.connection_id = connection_id
        self.owner = lease.new_owner()
        self.rows = 0
        self._policy = policy or from_settings()
        self._should_stop, self._may_go_on, self._clock = should_stop, may_go_on, clock
        self._woken = Event()
        self._inserter = Inserter(self._woken)
        self._permits = insert_slots.of(connection_id)
        self._chooser = Chooser(self._permits, self._woken)
        self._readers: list[SourceReader] = []
        #: Readers that have left, with a batch still under way.
        self._leaving: list[SourceReader] = []
        #: Seconds that the last turn took which brought nothing.
        self._took = 0.0
        #: Whether the turn follows on a rest that something has ended.
        self._was_woken = False
        #: Whether this turn has looked what has arrived; only then may it rest.
        self._has_looked = False
        self._seconds = settings.MILLRACE_SLICE_SECONDS if seconds is None else seconds
        self._beat_at = clock() + lease.BEAT
        self._begin()

    def run(self) -> bool:
        """Consume; True says: another slice at once. Raises where Postgres fails, or by a bug."""
        self._connector = connector = connect(_connection(self.connection_id))
        try:
            self._readers = open_source_readers(connector, self.connection_id, self.owner)
            self._begin()
            while self._readers and not self._is_over():
                self._turn()
            again = bool(self._readers) and not self._should_stop()
            self._drain()
        finally:
            self._inserter.close()
            self._permits.forget(self._woken)
            for reader in self._readers + self._leaving:
                reader.stream.close()
            connector.close()
        return again

    def _begin(self) -> None:
        """Its time counts from here: to open a thousand readers can take longer than all of it."""
        now = self._clock()
        self._ends_at = now + self._seconds
        self._pulled_at = self._pull_at = now

    def _is_over(self) -> bool:
        if self._should_stop():
            return True
        now = self._clock()
        if now < self._ends_at and now - self._pulled_at <= IDLE:
            return False
        if not self._may_go_on([reader.source for reader in self._readers]):
            return True
        self._ends_at, self._pulled_at = now + self._seconds, now
        return False

    def _turn(self) -> None:
        began = self._clock()
        self._woken.clear()
        self._collect()
        self._beat()
        pulled = self._pull()
        if pulled + self._cut(*self._due(), should_freshen=len(self._readers) >= MANY) > 0:
            self._was_woken = False
        else:
            self._took = self._clock() - began
            self._wait()

    def _wait(self) -> None:
        """Rest if there is nothing else to do; else nap, or until an insert ends."""
        if not self._readers:
            return
        # What woke it and brought nothing, such as the broker's heartbeat, must not do so for ever.
        if self._was_woken or not self._has_looked or self._is_holding():
            self._was_woken = False
            self._woken.wait(idle_strategy.nap(len(self._readers), self._busy, self._took))
        else:
            self._was_woken = self._rest()

    def _is_holding(self) -> bool:
        return not self._inserter.is_idle() or any(buffer.waiting for buffer in self._buffers())

    def _rest(self) -> bool:
        """Wait for the connector, at most until the next heartbeat; whether something has come."""
        until = min(self._clock() + REST, self._beat_at, self._ends_at)
        has_come = False
        try:
            while not has_come and (left := until - self._clock()) > 0 and not self._should_stop():
                has_come = self._connector.wait(min(left, STEP))
        except ConnectorError as error:
            self._leave_all(self._readers, error)
        now = self._clock()
        for reader in self._readers:
            reader.pulled_at = now
        return has_come

    def _drain(self) -> None:
        """Land what was read, or leave it to the broker where the worker stops; then let go."""
        if self._should_stop():
            for buffer in self._buffers():
                buffer.discard()
        while not self._inserter.is_idle() or any(buffer.waiting for buffer in self._buffers()):
            self._woken.clear()
            self._collect()
            self._beat()
            self._cut([one for one in self._pairs() if one[1].waiting and not one[1].under_way])
            self._woken.wait(idle_strategy.NAP if self._inserter.is_idle() else 1.0)
        self._settle()
        self._leave_all(self._readers, None)

    # --- The steps of a turn --------------------------------------------------------------------

    def _collect(self) -> None:
        """Note what has landed: positions in one statement, then acknowledgements."""
        ended = self._inserter.collect()
        finished = announce.finish(self.owner, [one.landed.intent for one in ended if one.landed])
        for one in ended:
            if one.landed is not None and one.landed.intent.token in finished:
                self.rows += one.landed.intent.rows
                self._guarded(one.reader, partial(one.reader.landed, one.buffer, one.landed.done))
            else:
                one.buffer.under_way = None
                self._leave(one.reader, one.error or _lost(one.buffer))
        self._let_go()

    def _beat(self) -> None:
        """Renew leases, let go of what is paused, lost or beyond its limit, settle what is done."""
        now = self._clock()
        if now < self._beat_at:
            return
        kept = lease.renew(self.owner, [buffer.lease.partition_id for buffer in self._buffers()])
        changed = yielding.changed([reader.source for reader in self._readers])
        changed |= rebalance.give_way(self.owner)
        for reader in list(self._readers):
            self._guarded(reader, reader.stream.keep_alive)
        gone = [
            reader
            for reader in self._readers
            if reader.source.pk in changed or not kept.issuperset(reader.partition_ids())
        ]
        for reader in gone:
            log.info(
                "Source %s: paused, changed, leased to another, or shared anew.", reader.source
            )
        self._leave_all(gone, None)
        self._settle()
        self._pause_beyond_limit()
        is_idle = self._busy == 0 and not self._is_holding()
        self._beat_at = now + lease.pause(self._clock() - now, is_idle=is_idle)

    def _settle(self) -> None:
        """Count and close what is done: each table is asked by itself, all is closed at once."""
        counted: dict[int, Mapping[uuid.UUID, BatchStats]] = {}

        def count(reader: SourceReader) -> None:
            counted[reader.source.pk] = reader.counted()

        for reader in list(self._readers):
            self._guarded(reader, partial(count, reader))
        settle.close({token: one for found in counted.values() for token, one in found.items()})
        for reader in self._readers:
            reader.settled(counted.get(reader.source.pk, {}))
        if any(counted.values()):
            self._hold_over_plan()

    def _hold_over_plan(self) -> None:
        """Hold tenants that reached their plan's day; the next heartbeat lets go of them."""
        if planned := {one.tenant_id for one in self._readers if one.source.tenant.plan_id}:
            holds.refresh(planned)

    def _pause_beyond_limit(self) -> None:
        """Let go of sources whose quarantine would fill. Nothing is asked while all fits."""
        suspects = [reader for reader in self._readers if reader.misfits]
        if not suspects:
            return
        paused = quarantine_limit.pause_beyond([reader.source for reader in suspects])
        for reader in suspects:
            reader.misfits = 0
            if reader.source.pk in paused:
                self._leave(reader, None)

    def _pull(self) -> int:
        """A bounded pull from each reader whose tenant holds less than its share."""
        # While inserts are under way there is time: what comes meanwhile is one chunk of each.
        is_calm = len(self._readers) >= MANY and not self._inserter.room
        patience = BUSY_PATIENCE * self._pause if is_calm else 0.0
        self._has_looked = False
        if self._clock() < self._pull_at + patience:
            return 0
        hungry = readers_below_share(self._readers, self._policy)
        if not hungry or not self._received():
            return 0
        self._has_looked = True
        pulled = sum(self._pulled(reader, PULL) for reader in hungry)
        if 0 < pulled < PULL:
            self._pull_at = self._clock() + self._pause
        return pulled

    def _pulled(self, reader: SourceReader, limit: int) -> int:
        now = self._clock()
        pulled = self._guarded(reader, partial(reader.pull, limit, now))
        if pulled:
            self._pulled_at = now
        return pulled

    def _freshen(self, pairs: Collection[Pair]) -> None:
        """Pull for what is cut next: where many are, all of them are pulled seldom."""
        hungry = {id(one) for one in readers_below_share(self._readers, self._policy)}
        if not pairs or not self._received():
            return
        for reader, _ in pairs:
            if id(reader) in hungry:
                self._pulled(reader, SMALL)

    @property
    def _pause(self) -> float:
        """Seconds between two pulls that bring little."""
        return idle_strategy.pause(len(self._readers), self._busy, self._took)

    @property
    def _busy(self) -> int:
        """How many sources have brought something of late."""
        now = self._clock()
        return sum(idle_strategy.is_busy(reader.brought_at, now) for reader in self._readers)

    def _received(self) -> bool:
        """Have the connector take in what has arrived; if it can't, all leave."""
        try:
            self._connector.receive(PULL)
        except ConnectorError as error:
            self._leave_all(self._readers, error)
            return False
        return True

    def _due(self) -> tuple[list[Pair], list[Pair]]:
        """What is to be cut, and what may go along with that."""
        if not self._inserter.room:
            return [], []
        cost = self._inserter.small_cost
        due, company = due_batches(self._readers, self._policy, self._clock(), cost)
        if due or (self._inserter.is_idle() and len(company) >= TOGETHER):
            return due, company
        return [], []

    def _cut(
        self, due: list[Pair], company: Sequence[Pair] = (), *, should_freshen: bool = False
    ) -> int:
        """Announce and insert what is due, as the chooser has it; returns how many."""
        groups = self._chooser.choose(self._readers, due, company, self._inserter.room)
        if should_freshen:
            self._freshen([pair for one in groups if one.is_shared for pair in one.pairs])
            for group in groups:
                group.drop_unfit()
        pairs = [pair for group in groups for pair in group.pairs]
        for group in groups:
            for _, buffer in group.pairs:
                buffer.cut(self._policy, past_views=group.is_shared)
        announced = announce.announce(
            self.owner, [_under_way(buffer).intent for _, buffer in pairs]
        )
        for group in groups:
            self._submit(group, announced)
        return len(announced)

    def _submit(self, group: Group, announced: Collection[uuid.UUID]) -> None:
        good = [one for one in group.pairs if _under_way(one[1]).intent.token in announced]
        for reader, buffer in group.pairs:
            if (reader, buffer) not in good:
                buffer.under_way = None
                self._leave(reader, _lost(buffer))
        if good:
            self._inserter.submit(good, group.ended)
        else:
            group.ended()

    # --- Readers and their leaving ----------------------------------------------------------------

    def _pairs(self) -> list[Pair]:
        return [(reader, buffer) for reader in self._readers for buffer in reader.buffers.values()]

    def _buffers(self) -> list[PartitionBuffer]:
        return [buffer for _, buffer in self._pairs()]

    def _guarded(self, reader: SourceReader, step: Callable[[], int | None]) -> int:
        """What ``step`` returns; if it fails, the reader leaves and the others go on."""
        try:
            return step() or 0
        except Exception as error:  # noqa: BLE001 - no source may stop the others
            self._leave(reader, error)
            return 0

    def _leave(self, reader: SourceReader, error: BaseException | None) -> None:
        """The reader reads no more. Its leases go when its last batch has ended."""
        if any(one is reader for one in self._readers):
            self._leave_all([reader], error)

    def _leave_all(self, readers: Collection[SourceReader], error: BaseException | None) -> None:
        gone = {id(one) for one in readers}
        leaving = [one for one in self._readers if id(one) in gone]
        self._readers = [one for one in self._readers if id(one) not in gone]
        self._leaving += leaving
        for reader in leaving:
            for buffer in reader.buffers.values():
                buffer.discard()
            if error is not None:
                source_errors.note_exception(reader.source, error)
        self._let_go()

    def _let_go(self) -> None:
        ended = [one for one in self._leaving if not one.is_inserting()]
        if not ended:
            return
        self._leaving = [one for one in self._leaving if one.is_inserting()]
        for reader in ended:
            reader.close()
        lease.release(self.owner, [one for reader in ended for one in reader.partition_ids()])


def _connection(pk: int | None) -> Connection | None:
    return None if pk is None else Connection.across_tenants.select_related("tenant").get(pk=pk)


def _under_way(buffer: PartitionBuffer) -> PendingBatch:
    if buffer.under_way is None:
        msg = "The buffer was not cut."
        raise ValueError(msg)
    return buffer.under_way


def _lost(buffer: PartitionBuffer) -> LeaseLost:
    return LeaseLost(
        f"Partition {buffer.lease.number}: another owner has the lease, or the table has changed."
    )
