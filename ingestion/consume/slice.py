"""A slice: some seconds of consuming one connection, for as many sources as its leases cover.

One turn of the loop: collect inserts that ended; beat; pull from each feed; cut what is due. All
state belongs to this one thread; the inserter's threads only wait for ClickHouse.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Collection
from functools import partial
from threading import Event

from django.conf import settings

from ingestion.connectors.registry import connect
from ingestion.consume import intent, lease, stopping, trouble
from ingestion.consume.feed import Feed
from ingestion.consume.inserter import THREADS, Inserter
from ingestion.consume.lane import Lane
from ingestion.consume.opening import open_feeds
from ingestion.consume.pace import Pace, from_settings
from ingestion.errors import LeaseLost
from ingestion.models import Connection, Source

log = logging.getLogger(__name__)

#: Messages that one pull from one feed takes, before the next feed has its turn.
PULL = 10_000
#: Seconds between heartbeats: leases renewed, paused sources let go, batches settled.
BEAT = 1.0
#: Seconds of waiting when nothing has arrived.
NAP = 0.01
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
        pace: Pace | None = None,
        should_stop: Callable[[], bool] = stopping.is_stopping,
        may_go_on: Callable[[Collection[Source]], bool] = lambda _: False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.connection_id = connection_id
        self.owner = lease.new_owner()
        self.rows = 0
        self._pace = pace or from_settings()
        self._should_stop, self._may_go_on, self._clock = should_stop, may_go_on, clock
        self._woken = Event()
        self._inserter = Inserter(self._woken)
        self._feeds: list[Feed] = []
        #: Feeds that have left, with a batch still under way.
        self._leaving: list[Feed] = []
        now = clock()
        self._seconds = settings.MILLRACE_SLICE_SECONDS if seconds is None else seconds
        self._ends_at = now + self._seconds
        self._beat_at = self._pulled_at = now

    def run(self) -> bool:
        """Consume; True says: another slice at once. Raises where Postgres fails, or by a bug."""
        connector = connect(_connection(self.connection_id))
        try:
            self._feeds = open_feeds(connector, self.connection_id, self.owner)
            while self._feeds and not self._is_over():
                self._turn()
            again = bool(self._feeds) and not self._should_stop()
            self._drain()
        finally:
            self._inserter.close()
            for feed in self._feeds + self._leaving:
                feed.reader.close()
            connector.close()
        return again

    def _is_over(self) -> bool:
        if self._should_stop():
            return True
        now = self._clock()
        if now < self._ends_at and now - self._pulled_at <= IDLE:
            return False
        if not self._may_go_on([feed.source for feed in self._feeds]):
            return True
        self._ends_at, self._pulled_at = now + self._seconds, now
        return False

    def _turn(self) -> None:
        self._woken.clear()
        self._collect()
        self._beat()
        if self._pull() + self._cut(self._due()) == 0:
            self._woken.wait(NAP)

    def _drain(self) -> None:
        """Land what was read, or leave it to the broker where the worker stops; then let go."""
        if self._should_stop():
            for lane in self._lanes():
                lane.discard()
        while not self._inserter.is_idle() or any(lane.waiting for lane in self._lanes()):
            self._woken.clear()
            self._collect()
            self._beat()
            self._cut([one for one in self._pairs() if one[1].waiting and not one[1].under_way])
            if not self._inserter.is_idle():
                self._woken.wait(1.0)
        for feed in list(self._feeds):
            self._leave(feed, None)

    # --- The steps of a turn --------------------------------------------------------------------

    def _collect(self) -> None:
        """Note what has landed: positions in one statement, then acknowledgements."""
        ended = self._inserter.collect()
        intents = [
            lane.under_way.intent
            for _, lane, error in ended
            if error is None and lane.under_way is not None
        ]
        finished = intent.finish(self.owner, intents)
        for feed, lane, error in ended:
            done = lane.under_way
            if error is None and done is not None and done.intent.token in finished:
                self.rows += done.intent.rows
                self._guarded(feed, partial(feed.landed, lane))
            else:
                lane.under_way = None
                self._leave(feed, error or _lost(lane))
        self._let_go()

    def _beat(self) -> None:
        """Renew leases, let go of what is paused or lost, settle what is done."""
        now = self._clock()
        if now - self._beat_at < BEAT:
            return
        self._beat_at = now
        kept = lease.renew(self.owner, [lane.lease.partition_id for lane in self._lanes()])
        for feed in list(self._feeds):
            if kept.issuperset(feed.partition_ids()):
                self._guarded(feed, feed.settle)
            else:
                log.info("Source %s: paused, or leased to another.", feed.source)
                self._leave(feed, None)

    def _pull(self) -> int:
        """A bounded pull from each feed whose tenant holds less than its share."""
        held: Counter[int] = Counter()
        for feed in self._feeds:
            held[feed.tenant_id] += feed.held_bytes
        share, pulled = self._pace.share(len(held)), 0
        for feed in list(self._feeds):
            if held[feed.tenant_id] < share:
                pulled += self._guarded(feed, partial(feed.pull, PULL, self._clock()))
        if pulled:
            self._pulled_at = self._clock()
        return pulled

    def _due(self) -> list[tuple[Feed, Lane]]:
        now = self._clock()
        busy = sum(1 for lane in self._lanes() if lane.waiting or lane.under_way)
        full = self._pace.share(len({feed.tenant_id for feed in self._feeds}))
        return [
            (feed, lane)
            for feed, lane in self._pairs()
            if lane.is_due(self._pace, now, busy)
            or (lane.waiting and not lane.under_way and feed.held_bytes >= full)
        ]

    def _cut(self, due: list[tuple[Feed, Lane]]) -> int:
        """Announce and insert what is due, in the order of ``_fairly``; returns how many."""
        chosen = self._fairly(due)
        cuts = {lane.cut().intent.token: (feed, lane) for feed, lane in chosen}
        intents = [lane.under_way.intent for _, lane in chosen if lane.under_way is not None]
        announced = intent.announce(self.owner, intents)
        for token, (feed, lane) in cuts.items():
            if token in announced:
                self._inserter.submit(feed, lane)
            else:
                lane.under_way = None
                self._leave(feed, _lost(lane))
        return len(announced)

    def _fairly(self, due: list[tuple[Feed, Lane]]) -> list[tuple[Feed, Lane]]:
        """As many as there is room for, the oldest first; one tenant never takes all threads."""
        running = Counter(feed.tenant_id for feed, lane in self._pairs() if lane.under_way)
        tenants = len({feed.tenant_id for feed in self._feeds})
        allowed = THREADS if tenants == 1 else THREADS - 1
        chosen: list[tuple[Feed, Lane]] = []
        for feed, lane in sorted(due, key=lambda one: one[1].since):
            if len(chosen) < self._inserter.room and running[feed.tenant_id] < allowed:
                running[feed.tenant_id] += 1
                chosen.append((feed, lane))
        return chosen

    # --- Feeds and their leaving ----------------------------------------------------------------

    def _pairs(self) -> list[tuple[Feed, Lane]]:
        return [(feed, lane) for feed in self._feeds for lane in feed.lanes.values()]

    def _lanes(self) -> list[Lane]:
        return [lane for _, lane in self._pairs()]

    def _guarded(self, feed: Feed, step: Callable[[], int | None]) -> int:
        """What ``step`` returns; if it fails, the feed leaves and the others go on."""
        try:
            return step() or 0
        except Exception as error:  # noqa: BLE001 - no source may stop the others
            self._leave(feed, error)
            return 0

    def _leave(self, feed: Feed, error: BaseException | None) -> None:
        """The feed reads no more. Its leases go when its last batch has ended."""
        if feed not in self._feeds:
            return
        self._feeds.remove(feed)
        self._leaving.append(feed)
        for lane in feed.lanes.values():
            lane.discard()
        if error is not None:
            trouble.note_exception(feed.source, error)
        self._let_go()

    def _let_go(self) -> None:
        for feed in [one for one in self._leaving if not one.is_inserting()]:
            self._leaving.remove(feed)
            feed.close()
            lease.release(self.owner, feed.partition_ids())


def _connection(pk: int | None) -> Connection | None:
    return None if pk is None else Connection.objects.select_related("tenant").get(pk=pk)


def _lost(lane: Lane) -> LeaseLost:
    return LeaseLost(f"Partition {lane.lease.number}: another owner has the lease now.")
