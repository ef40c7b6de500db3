"""Slices run in this process, and what they left in the engine."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from ingestion.consume.loop import Slice
from ingestion.consume.scheduling.batch_policy import BatchPolicy
from ingestion.consume.state import SliceState
from ingestion.landing import addresses, inbox
from ingestion.ledger.audit import PartitionAudit, audit
from ingestion.ledger.books import FindingKind
from ingestion.models import Source, StreamPartition, Table
from tenants.warehouse import client

POLICY = BatchPolicy(rows=40, bytes=1 << 20, seconds=0.2, held_bytes=1 << 22)


class Crash(BaseException):
    """What ``kill -9`` looks like from within: nothing after it is run."""


def consume(
    source: Source, seconds: float = 1.0, policy: BatchPolicy = POLICY, **options: Any
) -> Slice:
    """Run a slice, however long an earlier failure would have the source wait."""
    Source.objects.filter(pk=source.pk).update(retry_at=timezone.now())
    made = Slice(source.connection_id, seconds=seconds, policy=policy, **options)
    made.run()
    return made


def consume_until(source: Source, done: Callable[[], bool], seconds: float = 120.0) -> None:
    """Run slices until ``done``; fails after about ``seconds``."""
    end = timezone.now() + timedelta(seconds=seconds)
    while True:
        consume(source, seconds, should_stop=lambda: done() or timezone.now() > end)
        if source.partitions.exists() and done():
            return
        assert timezone.now() < end, f"It did not come to pass. {error(source)}"


def consume_until_crash(source: Source, seconds: float = 120.0) -> None:
    """Run slices until one dies; with a busy broker, one may end before it has read anything."""
    end = timezone.now() + timedelta(seconds=seconds)
    while timezone.now() < end:
        try:
            consume(source, 20)
        except Crash:
            return
    pytest.fail(f"No owner died. {error(source)}")


def crash_at_insert(
    source: Source,
    monkeypatch: pytest.MonkeyPatch,
    landed: Callable[[Any], Any] = lambda rows: rows,
) -> None:
    """Consume until the first insert, of which ``landed(rows)`` arrive; then the owner is dead."""
    insert = inbox.insert

    def dies(to: Any, batch: Any, token: Any = None) -> None:
        rows = landed(batch.rows)
        if rows is not None:
            insert(to, type(batch)(batch.intent, rows), token)
        raise Crash

    with monkeypatch.context() as patched:
        patched.setattr(inbox, "insert", dies)
        # An owner that is dead notes nothing and lets nothing go.
        patched.setattr(SliceState, "leave", lambda *_: (_ for _ in ()).throw(Crash))
        consume_until_crash(source)
    StreamPartition.objects.filter(source=source).update(lease_expires_at=timezone.now())


def numbers(table: Table, column: str = "n") -> list[Any]:
    sql = f"SELECT {column} AS c FROM {addresses.place_of(table).table}"
    return sorted(row["c"] for row in client.rows(sql))


def misfits(table: Table) -> list[dict[str, Any]]:
    return client.rows(f"SELECT * FROM {addresses.place_of(table).quarantine} ORDER BY _offset")


def partition(source: Source, number: int = 0) -> StreamPartition:
    return StreamPartition.objects.get(source=source, number=number)


def balance(source: Source) -> list[PartitionAudit]:
    """The audits of a source whose books must balance."""
    found = audit(source, timezone.now() - timedelta(hours=1))
    assert all(one.balances for one in found), [one.findings for one in found]
    return found


def kinds(found: list[PartitionAudit]) -> set[FindingKind]:
    return {each.kind for one in found for each in one.findings}


def error(source: Source) -> str:
    source.refresh_from_db()
    return source.error
