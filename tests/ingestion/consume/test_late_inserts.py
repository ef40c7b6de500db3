"""An insert outlives its worker: late rows are not doubled, and the ledger counts them."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import pytest

from ingestion.consume.recovery import open_batches
from ingestion.landing import addresses, inbox, query_ids
from ingestion.landing.fence import Fenced
from ingestion.landing.query_ids import Target, await_inserts, query_id
from ingestion.models import Batch, BatchState, Table
from tenants.warehouse import client
from tenants.warehouse.errors import RunningAlready
from tests.ingestion.running import (
    balance,
    consume,
    consume_until,
    crash_at_insert,
    misfits,
    numbers,
)

MESSAGES = [b'{"n": %d, "s": "x"}' % n for n in range(20)]


@contextmanager
def slow(table: Table) -> Iterator[None]:
    """Make an insert take 0.1 s a row before any row is in the table."""
    name = addresses.place_of(table).table
    client.execute([f"ALTER TABLE {name} ADD CONSTRAINT slow CHECK sleepEachRow(0.1) = 0"])
    yield
    client.execute([f"ALTER TABLE {name} DROP CONSTRAINT slow"])


def await_running(text: str) -> None:
    sql = "SELECT count() AS n FROM system.processes WHERE position(query, {text:String}) > 0"
    end = time.monotonic() + 10
    # The query that looks for it has the text as a parameter.
    while client.rows(sql, {"text": text})[0]["n"] < 1:
        assert time.monotonic() < end, "It never ran."
        time.sleep(0.01)


@pytest.mark.slow
def test_an_insert_that_still_runs_is_waited_for(
    stream: Any, table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = stream.source(table)
    stream.send(MESSAGES)
    insert, sent = inbox.insert, list[threading.Thread]()

    def goes_on(*of: Any) -> None:
        sent.append(threading.Thread(target=insert, args=of))
        sent[-1].start()
        await_running(f"INSERT INTO {addresses.place_of(table).inbox}")

    with slow(table):
        with monkeypatch.context() as patched:
            patched.setattr(inbox, "insert", goes_on)
            crash_at_insert(source, monkeypatch)
        assert numbers(table) == []
        consume_until(source, lambda: len(numbers(table)) >= len(MESSAGES))
        for one in sent:
            one.join()
    # Only silence shows that a queue has nothing more to deliver again.
    consume(source, 4 if stream.kind == "rabbitmq" else 1.3)
    assert numbers(table) == list(range(len(MESSAGES)))
    assert not Batch.objects.exclude(state=BatchState.SETTLED).exists()
    balance(source)


@pytest.mark.slow
def test_what_lands_after_its_batch_was_ended_is_in_the_books(
    stream: Any, table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker is suspended before it sends its insert, for longer than its lease."""
    source = stream.source(table)
    stream.send([*MESSAGES, b'{"n": "none"}'])
    insert, late = inbox.insert, list[Any]()

    def is_paused(*of: Any) -> None:
        late.append(of)

    with monkeypatch.context() as patched:
        patched.setattr(inbox, "insert", is_paused)
        crash_at_insert(source, monkeypatch)
    recovered = open_batches.recover

    def resumes(*of: Any) -> None:
        recovered(*of)
        while late:
            to, batch = late.pop()
            # A queue delivers the messages again, in a batch with another token.
            with pytest.raises(Fenced) if batch.intent.is_queue else nullcontext():
                insert(to, batch)

    monkeypatch.setattr(open_batches, "recover", resumes)
    consume_until(source, lambda: len(numbers(table)) + len(misfits(table)) > len(MESSAGES))
    consume(source, 4 if stream.kind == "rabbitmq" else 1.3)
    assert numbers(table) == list(range(len(MESSAGES)))
    assert len(misfits(table)) == 1
    (found,) = balance(source)
    assert (found.inserted, found.quarantined) == (len(MESSAGES), 1)
    partition = source.partitions.get()
    assert (partition.landed, partition.quarantined) == (len(MESSAGES), 1)


@pytest.mark.slow
def test_a_wait_for_an_insert_ends(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(query_ids, "PATIENCE", 0.3)
    batch = uuid.uuid4()
    await_inserts(batch)
    of = {"query_id": query_id(batch, Target.TABLE)}
    runs = threading.Thread(
        target=lambda: client.admin().command("SELECT sleep(2), 'waits'", settings=of)
    )
    runs.start()
    await_running("SELECT sleep(2)")
    with pytest.raises(RunningAlready, match="still running an earlier attempt"):
        await_inserts(batch)
    runs.join()
    await_inserts(batch)
