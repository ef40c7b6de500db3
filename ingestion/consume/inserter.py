"""The threads that wait for ClickHouse, so that the next batch is read while the last one lands."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from threading import Event

from ingestion.consume import ages, inbox, repair, together
from ingestion.consume.feed import Feed
from ingestion.consume.intent import Intent
from ingestion.consume.lane import Cut, Lane
from ingestion.consume.settle import Done
from ingestion.consume.together import Member

#: Inserts of one slice at a time: one that the engine works on and one that is being sent.
THREADS = 2
#: How much the cost of the last small insert counts towards what the next is taken to cost.
_WEIGHT = 0.2


@dataclass(frozen=True, slots=True)
class Landed:
    """What of a batch is in the table."""

    intent: Intent
    done: Done


@dataclass(frozen=True, slots=True)
class Ended:
    """An insert that is over: what landed, or what went wrong."""

    feed: Feed
    lane: Lane
    landed: Landed | None
    error: BaseException | None


Pairs = Sequence[tuple[Feed, Lane]]
_Outcomes = list[Landed | BaseException]


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
        """Insert the batches that are under way in the lanes: one, or several that are alike.

        ``ended`` is called when they are through, by another thread.
        """
        cuts = [_cut(lane) for _, lane in pairs]
        members = [
            Member(feed.address, feed.source.pk, cut)
            for (feed, _), cut in zip(pairs, cuts, strict=True)
        ]
        work = _alone if not cuts[0].intent.past_views else _together
        future = self._pool.submit(_timed, work, members)
        self._running.append((pairs, future))

        def over(_: object) -> None:
            ended()
            self._woken.set()

        future.add_done_callback(over)

    def collect(self) -> list[Ended]:
        """The batches that have ended since the last call."""
        ended = [one for one in self._running if one[1].done()]
        self._running = [one for one in self._running if not one[1].done()]
        return [one for pairs, future in ended for one in self._outcomes(pairs, future)]

    def _outcomes(self, pairs: Pairs, future: Future[tuple[_Outcomes, float]]) -> list[Ended]:
        error = future.exception()
        if error is not None:
            return [Ended(feed, lane, None, error) for feed, lane in pairs]
        outcomes, seconds = future.result()
        if all(_is_small(one) for one in outcomes):
            cost = seconds / len(outcomes)
            self.small_cost += (cost - self.small_cost) * _WEIGHT
        return [
            Ended(feed, lane, None, one)
            if isinstance(one, BaseException)
            else Ended(feed, lane, one, None)
            for (feed, lane), one in zip(pairs, outcomes, strict=True)
        ]

    def close(self) -> None:
        """Wait for what is under way."""
        self._pool.shutdown(wait=True)


#: Messages up to which what an insert costs has little to do with their number.
SMALL = 2_000


def _is_small(outcome: Landed | BaseException) -> bool:
    return isinstance(outcome, Landed) and outcome.intent.rows <= SMALL


def _cut(lane: Lane) -> Cut:
    if lane.under_way is None:
        msg = "There is nothing to insert: cut the lane first."
        raise ValueError(msg)
    return lane.under_way


def _timed(
    work: Callable[[list[Member]], _Outcomes], members: list[Member]
) -> tuple[_Outcomes, float]:
    began = time.monotonic()
    return work(members), time.monotonic() - began


def _alone(members: list[Member]) -> _Outcomes:
    """Insert one batch through the views.

    What is read again says nothing of how fresh a stream is: it has no ages.
    """
    (one,) = members
    if one.cut.is_condemned:
        inbox.put_aside(one.to, one.source_id, one.cut)
        return [Landed(one.cut.intent, Done())]
    if one.cut.intent.is_reread:
        return [Landed(repair.fill(one.to, one.source_id, one.cut), Done())]
    misfits = inbox.insert(one.to, one.source_id, one.cut)
    return [Landed(one.cut.intent, Done(_ages(one.cut), misfits))]


def _together(members: list[Member]) -> _Outcomes:
    return [
        Landed(one.cut.intent, Done(_ages(one.cut), misfits))
        if isinstance(misfits, int)
        else misfits
        for one, misfits in zip(members, together.insert(members), strict=True)
    ]


def _ages(cut: Cut) -> list[int]:
    return ages.count(cut.rows["_timestamp"], time.time_ns() // 1_000_000)
