"""Fakes for a slice's state, without services: a clock, a broker and an insert pool that record
their calls. Buffers, policy and the choice of batches are real.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from threading import Event
from types import SimpleNamespace
from typing import Any

import pytest

from ingestion.batches.batch import BatchStats, Lease
from ingestion.connectors.chunk import Chunk, chunk
from ingestion.consume.buffer import PartitionBuffer
from ingestion.consume.insert_pool import InsertResult, LandedBatch
from ingestion.consume.scheduling.batch_policy import INSERTS, BatchPolicy
from ingestion.consume.scheduling.candidate import Candidate
from ingestion.consume.scheduling.insert_slots import Permits
from ingestion.consume.scheduling.selection import Chooser
from ingestion.consume.source_reader import SourceReader
from ingestion.consume.state import SliceState
from ingestion.landing.addresses import Address
from ingestion.leases import lease
from ingestion.monitoring import source_errors

POLICY = BatchPolicy(rows=1_000, bytes=1 << 20, seconds=0.5, held_bytes=1 << 22)


@dataclass
class Clock:
    """A clock in seconds that only the test, and a wait on the fakes, moves on."""

    now: float = 100.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Stream:
    """A connector's reader. ``arrived``: the chunks of each poll. All fakes share ``log``."""

    name: str
    log: list[tuple[Any, ...]]
    arrived: list[list[Chunk]] = field(default_factory=list)
    fails_at: dict[str, Exception] = field(default_factory=dict)
    holds: int | None = None

    def _note(self, what: str, *more: Any) -> None:
        self.log.append((what, self.name, *more))
        if what in self.fails_at:
            raise self.fails_at[what]

    def has_arrived(self) -> bool:
        return bool(self.arrived)

    def poll(self, limit: int) -> list[Chunk]:
        self._note("poll", limit)
        return self.arrived.pop(0) if self.arrived else []

    def acknowledge(self, positions: Mapping[int, int]) -> None:
        self._note("acknowledge", dict(positions))

    def flush(self) -> None:
        self._note("flush")

    def has_caught_up(self) -> bool:
        return True

    def keep_alive(self) -> None:
        self._note("keep_alive")

    def close(self) -> None:
        self._note("close")


@dataclass
class Broker:
    """A connector. ``wait`` moves the clock on; a message comes after ``comes_after`` seconds."""

    clock: Clock
    log: list[tuple[Any, ...]]
    fails_at: dict[str, Exception] = field(default_factory=dict)
    comes_after: float = float("inf")

    def _note(self, what: str) -> None:
        self.log.append((what, "broker"))
        if what in self.fails_at:
            raise self.fails_at[what]

    def receive(self, limit: int) -> None:
        self._note("receive")

    def commit(self) -> None:
        self._note("commit")

    def wait(self, seconds: float) -> bool:
        self._note("wait")
        self.clock.now += seconds
        self.comes_after -= seconds
        return self.comes_after <= 0


@dataclass
class Pool:
    """An insert pool whose inserts end when the test says so."""

    small_cost: float = 0.001
    submitted: list[tuple[list[Candidate], Callable[[], None]]] = field(default_factory=list)
    results: list[InsertResult] = field(default_factory=list)

    @property
    def room(self) -> int:
        return INSERTS - len(self.submitted)

    def is_idle(self) -> bool:
        return not self.submitted

    def submit(self, candidates: list[Candidate], ended: Callable[[], None]) -> None:
        self.submitted.append((candidates, ended))

    def collect(self) -> list[InsertResult]:
        results, self.results = self.results, []
        return results


class Woken(Event):
    """An event that records the timeouts of its waits."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[float] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.waits.append(timeout or 0.0)
        return True


class FakeSlice:
    """A slice's state with fakes around it. ``errors``: by key, of sources that left with one."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.clock, self.log = Clock(), list[tuple[Any, ...]]()
        self.broker, self.pool, self.woken = Broker(self.clock, self.log), Pool(), Woken()
        self.should_stop = False
        self.errors: dict[int, BaseException] = {}
        self.released: list[int] = []
        pool: Any = self.pool
        broker: Any = self.broker
        self.state = SliceState(
            owner="me",
            connector=broker,
            policy=POLICY,
            pool=pool,
            chooser=Chooser(Permits(2, self.clock), self.woken),
            woken=self.woken,
            clock=self.clock,
            should_stop=lambda: self.should_stop,
        )
        self.state.begin(10.0)
        patch.setattr(source_errors, "note_exception", self._note)
        patch.setattr(source_errors, "overcome", lambda _: None)
        patch.setattr(lease, "release", lambda _, ids: self.released.extend(ids))

    def _note(self, source: Any, error: BaseException) -> None:
        self.errors[source.pk] = error

    def reader(self, key: int, tenant: int | None = None, partitions: int = 1) -> SourceReader:
        """Add a reader of a new source, by default with a tenant of its own."""
        owner = SimpleNamespace(pk=tenant or key, weight=1, plan_id=None)
        table = SimpleNamespace(pk=key, unknown_fields="ignore")
        source: Any = SimpleNamespace(
            pk=key, tenant=owner, tenant_id=owner.pk, name=f"s{key}", table=table
        )
        buffers = {
            number: PartitionBuffer(Lease(key * 10 + number, key, number, "me", 1), 0, 0)
            for number in range(partitions)
        }
        stream: Any = Stream(source.name, self.log)
        reader = SourceReader(source, Address("", "", "", ""), stream, buffers)
        self.state.readers.append(reader)
        return reader

    def holds(self, reader: SourceReader, rows: int = 1, number: int = 0) -> Candidate:
        """Let messages arrive in a buffer now."""
        buffer = reader.buffers[number]
        buffer.add(messages(buffer.position, rows, number), self.clock.now)
        return Candidate(reader, buffer)

    def inserts(self, reader: SourceReader, rows: int = 1, number: int = 0) -> Candidate:
        """Let messages arrive and become the batch under way."""
        candidate = self.holds(reader, rows, number)
        candidate.buffer.take_batch(POLICY.rows, POLICY.bytes)
        return candidate

    def lands(self, candidate: Candidate, misfits: int = 0) -> None:
        """Let the candidate's insert end successfully."""
        landed = LandedBatch(candidate.batch.intent, BatchStats((), misfits))
        self.pool.results.append(InsertResult(candidate, landed))

    def done(self, *kinds: str) -> list[tuple[Any, ...]]:
        """The calls so far, in order; only of these kinds, if any are named."""
        return [entry for entry in self.log if not kinds or entry[0] in kinds]


def messages(first: int, rows: int, number: int = 0) -> Chunk:
    """A chunk of ``rows`` messages from the offset ``first`` on."""
    return chunk(number, range(first, first + rows), [0] * rows, [b"{}"] * rows)
