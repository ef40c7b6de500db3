"""The threads that wait for ClickHouse, so that the next batch is read while the last one lands."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from threading import Event

from ingestion.batches.batch import BatchStats, Intent, PendingBatch
from ingestion.consume.buffer import PartitionBuffer
from ingestion.consume.source_reader import SourceReader
from ingestion.landing import grouped_insert, inbox, reinsert
from ingestion.landing.grouped_insert import AddressedBatch
from ingestion.monitoring import freshness

#: Inserts of one slice at a time: one that the engine works on and one that is being sent.
THREADS = 2
#: How much the cost of the last small insert counts towards what the next is taken to cost.
_WEIGHT = 0.2


@dataclass(frozen=True, slots=True)
class LandedBatch:
    """What of a batch is in the table."""

    intent: Intent
    done: BatchStats


@dataclass(frozen=True, slots=True)
class InsertResult:
    """An insert that is over: what landed, or what went wrong."""

    reader: SourceReader
    buffer: PartitionBuffer
    landed: LandedBatch | None
    error: BaseException | None


Pairs = Sequence[tuple[SourceReader, PartitionBuffer]]
_Outcomes = list[LandedBatch | BaseException]


class Inserter:
    """At most ``THREADS`` inserts under way; ``woken`` is set whenever one has ended.

    ``small_cost``: seconds that a small batch keeps a thread waiting, as of late.
    """

    def __init__(self, woken: Event) -> None:
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="insert")
        self._woken = woken
        self._running: list[tuple[Pairs, Future[tuple[_Outcomes, float]]]] = []
        self.small_cost = 0.0

    @property
    def room(self) -> int:
        """Inserts that can be taken now."""
        return THREADS - len(self._running)

    def is_idle(self) -> bool:
        return not self._running

    def submit(self, pairs: Pairs, ended: Callable[[], None] = lambda: None) -> None:
        """Insert the batches that are under way in the buffers: one, or several that are alike.

        ``ended`` is called when they are through, by another thread.
        """
        cuts = [_cut(buffer) for _, buffer in pairs]
        members = [
            AddressedBatch(reader.address, reader.source.pk, cut)
            for (reader, _), cut in zip(pairs, cuts, strict=True)
        ]
        work = _alone if not cuts[0].intent.past_views else _together
        future = self._pool.submit(_timed, work, members)
        self._running.append((pairs, future))

        def over(_: object) -> None:
            ended()
            self._woken.set()

        future.add_done_callback(over)

    def collect(self) -> list[InsertResult]:
        """The batches that have ended since the last call."""
        ended = [one for one in self._running if one[1].done()]
        self._running = [one for one in self._running if not one[1].done()]
        return [one for pairs, future in ended for one in self._outcomes(pairs, future)]

    def _outcomes(
        self, pairs: Pairs, future: Future[tuple[_Outcomes, float]]
    ) -> list[InsertResult]:
        error = future.exception()
        if error is not None:
            return [InsertResult(reader, buffer, None, error) for reader, buffer in pairs]
        outcomes, seconds = future.result()
        if all(_is_small(one) for one in outcomes):
            cost = seconds / len(outcomes)
            self.small_cost += (cost - self.small_cost) * _WEIGHT
        return [
            InsertResult(reader, buffer, None, one)
            if isinstance(one, BaseException)
            else InsertResult(reader, buffer, one, None)
            for (reader, buffer), one in zip(pairs, outcomes, strict=True)
        ]

    def close(self) -> None:
        """Wait for what is under way."""
        self._pool.shutdown(wait=True)


#: Messages up to which what an insert costs has little to do with their number.
SMALL = 2_000


def _is_small(outcome: LandedBatch | BaseException) -> bool:
    return isinstance(outcome, LandedBatch) and outcome.intent.rows <= SMALL


def _cut(buffer: PartitionBuffer) -> PendingBatch:
    if buffer.under_way is None:
        msg = "There is nothing to insert: cut the buffer first."
        raise ValueError(msg)
    return buffer.under_way


def _timed(
    work: Callable[[list[AddressedBatch]], _Outcomes], members: list[AddressedBatch]
) -> tuple[_Outcomes, float]:
    began = time.monotonic()
    return work(members), time.monotonic() - began


def _alone(members: list[AddressedBatch]) -> _Outcomes:
    """Insert one batch through the views.

    What is read again says nothing of how fresh a stream is: it has no ages.
    """
    (one,) = members
    if one.cut.is_condemned:
        inbox.put_aside(one.to, one.source_id, one.cut)
        return [LandedBatch(one.cut.intent, BatchStats())]
    if one.cut.intent.is_reread:
        return [LandedBatch(reinsert.fill(one.to, one.source_id, one.cut), BatchStats())]
    misfits = inbox.insert(one.to, one.source_id, one.cut)
    return [LandedBatch(one.cut.intent, BatchStats(_ages(one.cut), misfits))]


def _together(members: list[AddressedBatch]) -> _Outcomes:
    return [
        LandedBatch(one.cut.intent, BatchStats(_ages(one.cut), misfits))
        if isinstance(misfits, int)
        else misfits
        for one, misfits in zip(members, grouped_insert.insert(members), strict=True)
    ]


def _ages(cut: PendingBatch) -> list[int]:
    return freshness.count(cut.rows["_timestamp"], time.time_ns() // 1_000_000)
