"""Resets: told before they are done, and nothing twice unless that is asked for."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from ingestion.consume.loop import Slice
from ingestion.consume.scheduling.batch_policy import BatchPolicy
from ingestion.landing import addresses, inbox
from ingestion.leases import lease
from ingestion.ledger.audit import audit
from ingestion.ledger.books import FindingKind
from ingestion.models import Batch, Gap, Source, StreamPartition, Table
from ingestion.services.resets import CannotReset, ResetTarget, Where, preview, reset
from tenants.warehouse import client

START, END = ResetTarget(Where.START), ResetTarget(Where.END)


def messages(start: int, end: int) -> list[bytes]:
    return [b'{"n": %d}' % n if n % 10 else b'{"n": "%d"}' % n for n in range(start, end)]


def consume(source: Source) -> None:
    policy = BatchPolicy(rows=40, bytes=1 << 20, seconds=0.2, held_bytes=1 << 22)
    Slice(source.connection_id, seconds=1, policy=policy).run()


def there(table: Table) -> tuple[int, int]:
    """Rows in table and quarantine, and offsets among them."""
    at = addresses.address_of(table)
    union = f"SELECT _offset FROM {at.table} UNION ALL SELECT _offset FROM {at.quarantine}"
    found = client.rows(f"SELECT count() AS c, uniqExact(_offset) AS u FROM ({union})")[0]
    return found["c"], found["u"]


@pytest.fixture(params=["kafka", "stream"])
def log(request: pytest.FixtureRequest) -> Any:
    """A stream that keeps what was read."""
    if request.param == "kafka":
        return request.getfixturevalue("topic")()
    return request.getfixturevalue("queue")("stream")


@pytest.fixture
def landed(log: Any, table: Table) -> Source:
    source: Source = log.source(table)
    log.send(messages(0, 100))
    consume(source)
    assert there(table) == (100, 100)
    return source


def balances(source: Source) -> list[FindingKind]:
    (found,) = audit(source, timezone.now() - timedelta(hours=1))
    assert found.balances, found.findings
    return [one.kind for one in found.findings]


def test_what_is_read_again_is_not_doubled(landed: Source, log: Any, table: Table) -> None:
    (told,) = preview(landed, START)
    assert (told.position, told.to, told.read_again, told.skipped) == (100, 0, 100, 0)
    assert StreamPartition.objects.get().position == 100  # a preview changes nothing
    assert reset(landed, START) == [told]
    log.send(messages(100, 130))
    consume(landed)
    assert there(table) == (130, 130)
    assert StreamPartition.objects.get().position == 130
    again = Batch.objects.filter(is_reread=True)
    assert sum(one.deduplicated for one in again) == 100
    assert balances(landed) == []


@pytest.mark.slow
def test_a_source_that_no_worker_has_seen_yet_is_reset_too(log: Any, table: Table) -> None:
    log.send(messages(0, 20))
    source = log.source(table)
    assert not source.partitions.exists()
    (move,) = reset(source, START)
    assert (move.position, move.to, move.read_again) == (None, 0, 0)
    log.send(messages(20, 30))
    consume(source)
    assert there(table) == (30, 30)
    assert balances(source) == []


@pytest.mark.slow
def test_what_was_missing_comes_back(landed: Source, table: Table) -> None:
    at = addresses.address_of(table)
    client.execute(
        [f"ALTER TABLE {at.table} DELETE WHERE _offset BETWEEN 20 AND 29"], {"mutations_sync": 1}
    )
    assert there(table) == (91, 91)  # the misfit among them is in the quarantine
    reset(landed, START)
    consume(landed)
    assert there(table) == (100, 100)


@pytest.mark.slow
def test_it_doubles_when_told_to(landed: Source, table: Table) -> None:
    reset(landed, START, doubles=True)
    consume(landed)
    assert there(table) == (200, 100)
    assert set(balances(landed)) == {FindingKind.REPEATED}


@pytest.mark.slow
def test_to_the_end_is_a_gap_that_is_told(landed: Source, log: Any, table: Table) -> None:
    log.send(messages(100, 120))
    while preview(landed, END)[0].to < 120:
        time.sleep(0.1)  # a stream tells of its end a moment later
    (told,) = reset(landed, END)
    assert (told.read_again, told.skipped) == (0, 20)
    log.send(messages(120, 150))
    consume(landed)
    assert there(table) == (130, 130)
    gap = Gap.objects.get()
    assert (gap.from_offset, gap.to_offset, gap.reason) == (100, 120, "skipped")
    assert balances(landed) == [FindingKind.GAP]


@pytest.mark.slow
def test_to_an_offset(landed: Source, table: Table) -> None:
    (told,) = reset(landed, ResetTarget(Where.OFFSET, offset=70, partition=0))
    assert (told.to, told.read_again) == (70, 30)
    consume(landed)
    assert there(table) == (100, 100)
    with pytest.raises(CannotReset, match="has the offsets 0 to 100; 101 is not among them"):
        preview(landed, ResetTarget(Where.OFFSET, offset=101, partition=0))
    with pytest.raises(CannotReset, match="Give the partition too"):
        preview(landed, ResetTarget(Where.OFFSET, offset=70))
    with pytest.raises(CannotReset, match=r"has no partition 7\. Its partitions: 0"):
        preview(landed, ResetTarget(Where.OFFSET, offset=70, partition=7))


def test_to_a_time(topic: Callable[[], Any], table: Table) -> None:
    stream = topic()
    source = stream.source(table)
    for n in range(10):
        stream.producer.produce(
            stream.name, b'{"n": %d}' % n, partition=0, timestamp=1_700_000_000_000 + n * 1000
        )
    stream.producer.flush()
    consume(source)
    at = datetime.fromtimestamp(1_700_000_006.5, UTC)
    (told,) = preview(source, ResetTarget(Where.TIME, time=at))
    assert (told.to, told.read_again) == (7, 3)
    (told,) = preview(source, ResetTarget(Where.TIME, time=timezone.now()))
    assert (told.to, told.skipped) == (10, 0)


def test_a_stream_is_reset_to_a_time(queue: Callable[[str], Any], table: Table) -> None:
    stream = queue("stream")
    source = stream.source(table)
    stream.send(messages(0, 10))
    consume(source)
    (told,) = preview(source, ResetTarget(Where.TIME, time=timezone.now() - timedelta(hours=1)))
    assert told.to == 0


@pytest.mark.parametrize("kind", ["classic", "quorum"])
def test_a_queue_can_not_be_reset(queue: Callable[[str], Any], table: Table, kind: str) -> None:
    stream = queue(kind)
    source = stream.source(table)
    stream.send(messages(0, 10))
    for target in (START, END, ResetTarget(Where.TIME, time=timezone.now())):
        with pytest.raises(CannotReset, match="purge it at the broker"):
            preview(source, target)
    consume(source)
    assert there(table) == (10, 10)  # the question has taken nothing from it


@pytest.mark.slow
def test_a_crash_while_it_is_read_again_doubles_nothing(
    landed: Source, table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = addresses.address_of(table)
    client.execute([f"ALTER TABLE {at.table} DELETE WHERE _offset < 60"], {"mutations_sync": 1})
    reset(landed, START)
    insert = inbox.insert

    def insert_and_die(*arguments: Any) -> None:
        insert(*arguments)
        raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr(inbox, "insert", insert_and_die)
        consume(landed)
    assert Batch.objects.filter(state="intent").exists()
    StreamPartition.objects.update(lease_expires_at=timezone.now())
    Source.objects.update(retry_at=timezone.now())
    consume(landed)
    assert there(table) == (100, 100)
    assert balances(landed) == []


@pytest.mark.slow
def test_a_source_that_is_being_read_is_paused_for_it(
    landed: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ingestion.services.resets.PATIENCE", 0.3)
    lease.take(landed.connection_id, "another", 16)
    with pytest.raises(CannotReset, match="A worker is still reading"):
        reset(landed, START)
    landed.refresh_from_db()
    assert landed.active
    assert StreamPartition.objects.get().position == 100
