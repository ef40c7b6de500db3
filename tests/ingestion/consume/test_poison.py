"""A message that kills each worker ends in the quarantine, and no other message does."""

from __future__ import annotations

import gc
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from ingestion.batches.batch import PendingBatch
from ingestion.consume.loop import Slice
from ingestion.consume.recovery.poison_probe import CRASHES, may_try
from ingestion.consume.scheduling.batch_policy import BatchPolicy
from ingestion.consume.state import SliceState
from ingestion.landing import inbox
from ingestion.ledger.audit import audit
from ingestion.models import Batch, BatchState, Caution, Source, StreamPartition, Table
from tenants.warehouse import client
from tenants.warehouse.errors import WarehouseError

POLICY = BatchPolicy(rows=500, bytes=1 << 20, seconds=0.2, held_bytes=1 << 22)
KILLER = b'{"n": 70, "s": "kills"}'


class Crash(BaseException):
    """What ``kill -9`` looks like from within: nothing after it is run."""


def good(first: int, last: int) -> list[bytes]:
    return [b'{"n": %d, "s": "x"}' % n for n in range(first, last)]


def numbers(table: Table) -> Counter[int]:
    sql = f"SELECT n FROM {table.tenant.warehouse.database}.events"
    return Counter(row["n"] for row in client.rows(sql))


def put_aside(table: Table) -> list[tuple[str, str]]:
    sql = f"SELECT reason, raw FROM {table.tenant.warehouse.database}.events__quarantine"
    return [(row["reason"], row["raw"]) for row in client.rows(sql)]


class Owners:
    """Owners that die when they insert the killer; then their leases expire.

    ``killed``: so many more die for another reason. ``share`` of what is before the killer lands.
    """

    def __init__(
        self, source: Source, patch: pytest.MonkeyPatch, killed: int = 0, share: float = 0
    ) -> None:
        self.source, self.killed, self.share = source, killed, share
        self._patch, self._insert = patch, inbox.insert
        self._leave = SliceState.leave
        self.died = 0

    def take_turns(self) -> None:
        """Run owners until one survives."""
        # What was there before is no owner's, and to go through all of it takes 0.3 s each time.
        gc.freeze()
        try:
            while self._dies():
                self.died += 1
                assert self.died < 15, "They die for ever."
                # A process that died leaves no buffers that would hold up another's.
                gc.collect()
                StreamPartition.objects.update(lease_expires_at=timezone.now())
        finally:
            gc.unfreeze()

    def _dies(self) -> bool:
        with self._patch.context() as patched:
            patched.setattr(inbox, "insert", self._insert_or_die)
            # A dead owner stores nothing and releases nothing.
            patched.setattr(SliceState, "leave", lambda *of: self._be_dead(*of))  # noqa: PLW0108
            try:
                Slice(
                    self.source.connection_id, seconds=15, policy=POLICY, should_stop=self._is_over
                ).run()
            except Crash:
                return True
        return False

    def _insert_or_die(self, to: Any, batch: Any, token: Any = None) -> None:
        raw = batch.rows["raw"].to_pylist()
        if KILLER in raw or self.killed:
            self.killed = max(0, self.killed - 1)
            before = raw.index(KILLER) if KILLER in raw else len(raw)
            if part := int(self.share * before):
                self._insert(to, PendingBatch(batch.intent, batch.rows.slice(0, part)), token)
            raise Crash
        self._insert(to, batch, token)

    def _be_dead(self, of: SliceState, reader: Any, error: BaseException | None) -> None:
        if isinstance(error, Crash):
            raise error
        self._leave(of, reader, error)

    def _is_over(self) -> bool:
        if Caution.objects.exists() or Batch.objects.exclude(state=BatchState.SETTLED).exists():
            return False
        return numbers(self.source.table).total() + len(put_aside(self.source.table)) >= 100


@pytest.mark.slow
def test_a_message_that_kills_its_worker_ends_in_the_quarantine(
    stream: Any, table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = stream.source(table)
    stream.send([*good(0, 70), KILLER, *good(71, 100)])
    owners = Owners(source, monkeypatch)
    owners.take_turns()
    assert put_aside(table) == [("crashed_worker", KILLER.decode())]
    assert numbers(table) == Counter(n for n in range(100) if n != 70)
    # CRASHES each with the batch, a piece of it, and the message alone.
    assert owners.died <= 3 * CRASHES
    source.refresh_from_db()
    assert f"{CRASHES} workers died of the message at offset" in source.error
    assert "crashed_worker" in source.error
    partition = StreamPartition.objects.get(source=source)
    assert (partition.landed, partition.quarantined, partition.crashes) == (99, 1, 0)
    assert balances(source)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["kafka", "quorum"])
def test_what_landed_before_a_death_lands_once(
    kind: str, request: pytest.FixtureRequest, table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    make: Any = request.getfixturevalue("topic" if kind == "kafka" else "queue")
    stream = make() if kind == "kafka" else make(kind)
    source = stream.source(table)
    stream.send([*good(0, 70), KILLER, *good(71, 100)])
    Owners(source, monkeypatch, share=0.4).take_turns()
    assert put_aside(table) == [("crashed_worker", KILLER.decode())]
    assert numbers(table) == Counter(n for n in range(100) if n != 70)
    partition = StreamPartition.objects.get(source=source)
    assert (partition.landed, partition.quarantined) == (99, 1)
    assert balances(source)


@pytest.mark.slow
def test_owners_that_die_of_something_else_put_nothing_aside(
    topic: Any, table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole batch lands in the end, piece by piece."""
    stream = topic()
    source = stream.source(table)
    stream.send(good(0, 100))
    owners = Owners(source, monkeypatch, killed=CRASHES + 2)
    owners.take_turns()
    assert owners.died == CRASHES + 2
    assert put_aside(table) == []
    assert numbers(table) == Counter(range(100))
    assert balances(source)


def test_clean_failures_are_no_deaths(
    topic: Any, table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = topic()
    source = stream.source(table)
    stream.send(good(0, 10))
    with monkeypatch.context() as patched:
        patched.setattr(inbox, "insert", _is_away)
        for _ in range(CRASHES + 1):
            Source.objects.update(retry_at=timezone.now())
            Slice(source.connection_id, seconds=5, policy=POLICY).run()
    partition = StreamPartition.objects.get(source=source)
    assert (partition.crashes, partition.epoch) == (0, CRASHES + 1)
    assert not Caution.objects.exists()


def _is_away(*_: Any) -> None:
    raise WarehouseError("ClickHouse does not answer.")


def test_one_partition_at_a_time_is_tried_with_caution() -> None:
    """A crash ends the whole process, so only one partition may be blamed for it."""
    first, second = FakeBuffer(), FakeBuffer()
    assert may_try(first)
    first.under_way = 1
    assert may_try(first)
    assert not may_try(second)
    first.under_way = None
    assert may_try(second)
    second.under_way = 1
    assert not may_try(first)
    del second
    assert may_try(first)


class FakeBuffer:
    under_way: Any = None


def balances(source: Source) -> bool:
    audited = audit(source, timezone.now() - timedelta(hours=1))
    return all(partition.balances for partition in audited)
