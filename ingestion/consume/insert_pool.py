"""The threads that insert into ClickHouse, so that the next batch is read while the last lands."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from threading import Event

from ingestion.batches.batch import BatchStats, Intent, PendingBatch
from ingestion.consume.scheduling.batch_policy import INSERTS, SMALL_ROWS
from ingestion.consume.scheduling.candidate import Candidate
from ingestion.landing import grouped_insert, inbox, reinsert
from ingestion.landing.grouped_insert import AddressedBatch
from ingestion.monitoring import freshness

#: The weight of the latest small insert in the moving average of their cost.
_WEIGHT = 0.2


@dataclass(frozen=True, slots=True)
class LandedBatch:
    """A batch that is in the table; ``intent`` has the rows that really landed."""

    intent: Intent
    stats: BatchStats


@dataclass(frozen=True, slots=True)
class InsertResult:
    """The end of one batch's insert: either ``landed`` or ``error`` is set."""

    candidate: Candidate
    landed: LandedBatch | None = None
    error: BaseException | None = None


_Outcome = LandedBatch | BaseException


@dataclass(frozen=True, slots=True, eq=False)
class _Running:
    """An insert under way. ``future`` gives the outcome of each batch, and the seconds it took."""

    candidates: Sequence[Candidate]
    future: Future[tuple[list[_Outcome], float]]


class InsertPool:
    """Runs up to INSERTS inserts at a time, and sets ``woken`` whenever one ends.

    ``small_cost``: seconds that a small batch keeps a thread waiting, as a moving average.
    """

    def __init__(self, woken: Event) -> None:
        self._threads = ThreadPoolExecutor(INSERTS, thread_name_prefix="insert")
        self._woken = woken
        self._running: list[_Running] = []
        self.small_cost = 0.0

    @property
    def room(self) -> int:
        """How many inserts the pool can start now."""
        return INSERTS - len(self._running)

    def is_idle(self) -> bool:
        return not self._running

    def submit(self, candidates: Sequence[Candidate], ended: Callable[[], None]) -> None:
        """Start one insert of the candidates' batches: a single one, or several of like tables.

        ``ended`` is called from another thread when the insert is over.
        """
        batches = [
            AddressedBatch(candidate.reader.address, candidate.batch) for candidate in candidates
        ]
        work = _grouped if candidates[0].batch.intent.past_views else _alone
        future = self._threads.submit(_timed, work, batches)
        self._running.append(_Running(candidates, future))

        def announce_end(_: object) -> None:
            ended()
            self._woken.set()

        future.add_done_callback(announce_end)

    def collect(self) -> list[InsertResult]:
        """The results of all inserts that have ended since the last call."""
        ended = [insert for insert in self._running if insert.future.done()]
        self._running = [insert for insert in self._running if insert not in ended]
        return [result for insert in ended for result in self._results(insert)]

    def _results(self, insert: _Running) -> list[InsertResult]:
        error = insert.future.exception()
        if error is not None:
            return [InsertResult(candidate, error=error) for candidate in insert.candidates]
        outcomes, seconds = insert.future.result()
        if all(_is_small(outcome) for outcome in outcomes):
            cost = seconds / len(outcomes)
            self.small_cost += (cost - self.small_cost) * _WEIGHT
        return [
            InsertResult(candidate, error=outcome)
            if isinstance(outcome, BaseException)
            else InsertResult(candidate, outcome)
            for candidate, outcome in zip(insert.candidates, outcomes, strict=True)
        ]

    def close(self) -> None:
        """Wait until all inserts under way have ended."""
        self._threads.shutdown(wait=True)


def _is_small(outcome: _Outcome) -> bool:
    return isinstance(outcome, LandedBatch) and outcome.intent.rows <= SMALL_ROWS


def _timed(
    work: Callable[[list[AddressedBatch]], list[_Outcome]], batches: list[AddressedBatch]
) -> tuple[list[_Outcome], float]:
    began = time.monotonic()
    return work(batches), time.monotonic() - began


def _alone(batches: list[AddressedBatch]) -> list[_Outcome]:
    """Insert one batch through the views.

    A condemned message goes into the quarantine. A batch that is read again is compared with the
    table; it has no ages, because old messages say nothing of how fresh a stream is.
    """
    ((to, batch),) = [(addressed.to, addressed.batch) for addressed in batches]
    if batch.is_condemned:
        inbox.put_aside(to, batch)
        return [LandedBatch(batch.intent, BatchStats())]
    if batch.intent.is_reread:
        return [LandedBatch(reinsert.fill(to, batch), BatchStats())]
    misfits = inbox.insert(to, batch)
    return [LandedBatch(batch.intent, _stats(AddressedBatch(to, batch), misfits))]


def _grouped(batches: list[AddressedBatch]) -> list[_Outcome]:
    """Type several batches together, and insert each past the views."""
    return [
        LandedBatch(addressed.batch.intent, _stats(addressed, misfits))
        if isinstance(misfits, int)
        else misfits
        for addressed, misfits in zip(batches, grouped_insert.insert(batches), strict=True)
    ]


def _stats(addressed: AddressedBatch, misfits: int) -> BatchStats:
    """What is counted of the batch; with filters, ClickHouse is asked when it is settled."""
    is_known = not addressed.to.filters
    return BatchStats(_ages(addressed.batch), misfits if is_known else None)


def _ages(batch: PendingBatch) -> list[int]:
    return freshness.count(batch.rows["_timestamp"], time.time_ns() // 1_000_000)
