"""The threads that wait for ClickHouse, so that the next batch is read while the last one lands."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from threading import Event

from ingestion.consume import inbox
from ingestion.consume.feed import Feed
from ingestion.consume.lane import Lane

#: Inserts of one slice at a time: one that the engine works on and one that is being sent.
THREADS = 2


class Inserter:
    """At most ``THREADS`` batches under way; ``woken`` is set whenever one has ended."""

    def __init__(self, woken: Event) -> None:
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="insert")
        self._woken = woken
        self._running: list[tuple[Feed, Lane, Future[None]]] = []

    @property
    def room(self) -> int:
        """Batches that can be taken now."""
        return THREADS - len(self._running)

    def is_idle(self) -> bool:
        return not self._running

    def submit(self, feed: Feed, lane: Lane) -> None:
        """Insert the batch that is under way in ``lane``."""
        if lane.under_way is None:
            msg = "There is nothing to insert: cut the lane first."
            raise ValueError(msg)
        future = self._pool.submit(inbox.insert, feed.address, feed.source.pk, lane.under_way)
        self._running.append((feed, lane, future))
        future.add_done_callback(lambda _: self._woken.set())

    def collect(self) -> list[tuple[Feed, Lane, BaseException | None]]:
        """The batches that have ended since the last call, with what went wrong, if anything."""
        ended = [one for one in self._running if one[2].done()]
        self._running = [one for one in self._running if not one[2].done()]
        return [(feed, lane, future.exception()) for feed, lane, future in ended]

    def close(self) -> None:
        """Wait for what is under way."""
        self._pool.shutdown(wait=True)
