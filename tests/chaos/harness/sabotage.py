"""A worker that is broken on purpose: ``python -m tests.chaos.harness.sabotage NAME CELERY-ARGS``.

The storm must see what it does wrong; otherwise it sees nothing.
"""

from __future__ import annotations

import itertools
import logging
import os
import signal
import socket
import sys
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from celery.__main__ import main
from celery.signals import worker_init

if TYPE_CHECKING:
    from ingestion.batches.batch import Intent, Lease, PendingBatch
    from ingestion.connectors.redelivery import Identified
    from ingestion.consume.scheduling.candidate import Candidate
    from ingestion.landing.addresses import Address
    from ingestion.landing.grouped_insert import AddressedBatch


def no_deduplication(**_: Any) -> None:
    """Every insert has a token of its own, and nothing asks the table what it has."""
    from ingestion.connectors.redelivery import Redelivery
    from ingestion.landing import direct_insert, inbox, lookups, reinsert

    insert, land = inbox.insert, direct_insert.land
    direct_insert.land = lambda to, rows, batch, _=None: land(to, rows, batch, uuid.uuid4())

    def insert_anew(to: Address, batch: PendingBatch, _: uuid.UUID | None = None) -> int:
        return insert(to, batch, uuid.uuid4())

    def complete(to: Address, batch: PendingBatch, *, remembered: bool) -> int:
        insert_anew(to, batch)
        return batch.rows.num_rows

    def knows_nothing(_: Redelivery, messages: Sequence[Identified]) -> list[bool]:
        return [False] * len(messages)

    inbox.insert, reinsert.complete = insert_anew, complete
    lookups.held = lambda *_: []
    Redelivery.known = knows_nothing  # type: ignore[method-assign]


def early_acknowledgement(**_: Any) -> None:
    """A batch is noted and acknowledged before it is inserted."""
    from ingestion.batches import announce
    from ingestion.consume.insert_pool import InsertPool

    finish, submit = announce.finish, InsertPool.submit

    def submit_late(
        self: InsertPool, members: Sequence[Candidate], ended: Callable[[], None]
    ) -> None:
        for member in members:
            lease, intent = member.buffer.lease, member.batch.intent
            finish(lease.owner, {lease: intent})
            member.reader.stream.acknowledge({lease.number: intent.to_offset})
        submit(self, members, ended)

    def finished(_: str, intents: Mapping[Lease, Intent]) -> set[uuid.UUID]:
        return {one.token for one in intents.values()}

    InsertPool.submit = submit_late  # type: ignore[method-assign]
    announce.finish = finished


#: What the log says whenever half of a batch comes again.
HALF = "Half of a batch was acknowledged."
#: A message with this in it kills the worker that inserts it.
KILLS = b"kills its worker"


def killed_by_a_message(**_: Any) -> None:
    """An insert of a message with KILLS in it is the worker's end, as of a bug in a C library."""
    from ingestion.landing import grouped_insert, inbox

    insert, typed = inbox.insert, grouped_insert.insert

    def die_of(batch: PendingBatch) -> None:
        if any(KILLS in raw for raw in batch.rows["raw"].to_pylist()):
            os.kill(os.getpid(), signal.SIGKILL)

    def insert_or_die(to: Address, batch: PendingBatch, token: uuid.UUID | None = None) -> int:
        die_of(batch)
        return insert(to, batch, token)

    def type_or_die(members: Sequence[AddressedBatch]) -> list[Any]:
        for one in members:
            die_of(one.batch)
        return typed(members)

    inbox.insert = insert_or_die
    grouped_insert.insert = type_or_die


def half_acknowledged(**_: Any) -> None:
    """Now and then only half of what landed is acknowledged before the connection is gone."""
    from ingestion.connectors.rabbitmq.reader import RabbitReader

    acknowledge = RabbitReader.acknowledge
    calls = itertools.count(1)
    #: The last delivery that was acknowledged, by reader.
    last: dict[int, int] = {}

    def acknowledge_half(self: RabbitReader, positions: Mapping[int, int]) -> None:
        tags = [tag for end, tag in self._ends if end <= positions[0]]
        before = last.get(id(self), 0)
        if next(calls) % 4 or not tags or tags[-1] - before < 2:
            acknowledge(self, positions)
            last[id(self)] = max([before, *tags])
            return
        self._consumer.channel.basic_ack((before + tags[-1]) // 2, multiple=True)
        channel = self._consumer.channel
        channel.connection.transport.sock.shutdown(socket.SHUT_RDWR)
        last.pop(id(self), None)
        logging.getLogger(__name__).warning("%s", HALF)

    RabbitReader.acknowledge = acknowledge_half  # type: ignore[method-assign]


#: Messages a second that a worker reads that ``reads_slowly``: few, so that a slow machine, too,
#: sends more than some workers of this kind can read.
SLOW = 500


def reads_slowly(**_: Any) -> None:
    """As on a machine that is short of CPU, so that only more workers make it faster."""
    from ingestion.consume.source_reader import SourceReader

    pull, began = SourceReader.pull, time.monotonic()
    lock = threading.Lock()
    done = 0

    def pull_slowly(self: SourceReader, limit: int, now: float) -> int:
        nonlocal done, began
        with lock:
            # What it did not read while nothing was there it may not make up for.
            began = max(began, time.monotonic() - (done + SLOW) / SLOW)
            room = int((time.monotonic() - began) * SLOW) - done
            if room <= 0:
                return 0
            pulled = pull(self, min(limit, room), now)
            done += pulled
            return pulled

    SourceReader.pull = pull_slowly  # type: ignore[method-assign]


KINDS = {
    one.__name__: one
    for one in (
        no_deduplication,
        early_acknowledgement,
        killed_by_a_message,
        half_acknowledged,
        reads_slowly,
    )
}

if __name__ == "__main__":
    # Not earlier: Django is set up by then.
    worker_init.connect(KINDS[sys.argv.pop(1)])
    sys.exit(main())
