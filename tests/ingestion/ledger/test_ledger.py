"""The ledger balances on every stream, and names what is wrong where something is."""

from __future__ import annotations

import io
import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.utils import timezone

from ingestion.batches.compaction import fold
from ingestion.consume.loop import Slice
from ingestion.consume.scheduling.batch_policy import BatchPolicy
from ingestion.ledger.audit import PartitionAudit, audit
from ingestion.ledger.books import FindingKind
from ingestion.models import Batch, FoldedBatches, Gap, Source, StreamPartition, Table
from tenants.warehouse import client
from tests.ingestion.running import consume_until, misfits, numbers

# Each of them waits for a second and more of consuming.
pytestmark = pytest.mark.slow

GOOD = [b'{"n": %d}' % n for n in range(200)]
BAD = [b'{"n": -1}', b'{"n": "x"}']


def consume(source: Source) -> None:
    policy = BatchPolicy(rows=40, bytes=1 << 20, seconds=0.2, held_bytes=1 << 22)
    Slice(source.connection_id, seconds=0.5, policy=policy).run()


def consume_all(source: Source, sent: int) -> None:
    """Until so many messages are in the table or in quarantine."""
    table = source.table
    consume_until(source, lambda: len(numbers(table)) + len(misfits(table)) == sent)


def audited(source: Source, **options: Any) -> PartitionAudit:
    (found,) = audit(source, timezone.now() - timedelta(hours=1), **options)
    return found


def kinds(found: PartitionAudit) -> list[FindingKind]:
    return [one.kind for one in found.findings]


@pytest.fixture
def landed(topic: Callable[[], Any], table: Table) -> Source:
    """A Kafka source of which 200 messages are in the table, and two in quarantine."""
    stream = topic()
    source: Source = stream.source(table)
    source.stream_of_test = stream  # type: ignore[attr-defined]
    messages = GOOD + BAD
    for start in range(0, len(messages), 50):
        stream.send(messages[start : start + 50])
        consume_all(source, len(messages[: start + 50]))
    return source


def in_table(source: Source, sql: str) -> None:
    database = source.tenant.warehouse.database
    client.execute([sql.format(table=f"{database}.events")], {"mutations_sync": 1})


def test_the_books_of_every_stream_balance(stream: Any, table: Table) -> None:
    source = stream.source(table)
    bad = BAD if stream.takes_anything else [b'{"n": -1}', b'{"n": null}']
    stream.send(GOOD + bad)
    consume_all(source, 202)
    found = audited(source)
    assert found.findings == []
    assert (found.received, found.inserted, found.quarantined) == (202, 200, 2)
    assert found.found == 202
    assert found.end == found.position == found.high_watermark
    assert found.batches == Batch.objects.count()
    reads_again = stream.kind != "http" and stream.has_offsets
    assert found.at_broker == (202 if reads_again else None)
    assert bool(found.unread) is not reads_again


def test_a_row_that_is_gone_is_named(landed: Source) -> None:
    in_table(landed, "ALTER TABLE {table} DELETE WHERE _offset = 50")
    found = audited(landed)
    assert not found.balances
    assert kinds(found) == [FindingKind.MISSING, FindingKind.MISSING]
    by_batch, by_broker = found.findings
    assert by_batch.start <= 50 < by_batch.end
    assert str(Batch.objects.get(from_offset=by_batch.start).token) in by_batch.text
    assert (by_broker.start, by_broker.end) == (50, 51)
    assert "1 offsets (50)" in by_broker.text


def test_a_row_that_is_there_twice_is_named(landed: Source) -> None:
    in_table(landed, "INSERT INTO {table} SELECT * FROM {table} WHERE _offset = 60")
    found = audited(landed)
    assert FindingKind.DOUBLED in kinds(found)
    doubled = next(one for one in found.findings if one.kind is FindingKind.DOUBLED)
    assert (doubled.start, doubled.end) == (60, 61)


def test_a_row_that_the_broker_never_had_is_named(landed: Source) -> None:
    in_table(
        landed,
        "INSERT INTO {table} SELECT * REPLACE (_offset + 1000 AS _offset) FROM {table} WHERE n = 1",
    )
    assert audited(landed).balances  # beyond the range of the books
    StreamPartition.objects.update(position=1002)
    batch = Batch.objects.latest("pk")
    batch.pk, batch.token = None, uuid.uuid4()
    batch.from_offset, batch.to_offset, batch.rows, batch.quarantined = 202, 1002, 1, 0
    batch.save()
    Batch.objects.filter(pk=batch.pk).update(state="settled")
    found = audited(landed)
    assert kinds(found) == [FindingKind.UNKNOWN]
    assert found.findings[0].start == 1001
    assert "1 offsets (1001)" in found.findings[0].text


def test_holes_and_overlaps_of_the_books_are_named(landed: Source) -> None:
    first, second, *_ = Batch.objects.order_by("from_offset")
    Batch.objects.filter(pk=second.pk).update(from_offset=second.from_offset - 1)
    overlap = audited(landed).findings[0]
    assert overlap.kind is FindingKind.OVERLAP
    assert (overlap.start, overlap.end) == (first.to_offset - 1, first.to_offset)
    second.delete()
    hole = audited(landed).findings[0]
    assert hole.kind is FindingKind.HOLE
    assert (hole.start, hole.end) == (second.from_offset, second.to_offset)


def test_what_was_noted_as_done_and_is_not_there_is_a_hole_at_the_end(landed: Source) -> None:
    landed.stream_of_test.send(GOOD[:5])  # type: ignore[attr-defined]
    StreamPartition.objects.update(position=207)
    found = audited(landed)
    assert kinds(found) == [FindingKind.HOLE]
    assert (found.findings[0].start, found.findings[0].end) == (202, 207)


def test_what_the_broker_deleted_before_it_was_read_is_a_gap_and_no_fault(
    landed: Source,
) -> None:
    stream = landed.stream_of_test  # type: ignore[attr-defined]
    stream.send(GOOD[:50])
    stream.delete_before(220)
    stream.send(GOOD[:10])
    consume(landed)
    gap = Gap.objects.get()
    assert (gap.from_offset, gap.to_offset) == (202, 220)
    found = audited(landed)
    assert kinds(found) == [FindingKind.GAP]
    assert found.balances
    assert found.unread == "the broker has deleted the offsets below 220"
    assert found.at_broker == 42


def test_folded_batches_tell_the_same(landed: Source) -> None:
    before = audited(landed)
    assert before.batches > 3
    assert fold() == 0  # none is old enough
    middle = Batch.objects.order_by("from_offset")[2]
    kept = Batch.objects.filter(pk=middle.pk)
    kept.update(state="done")
    hours = timezone.now() - timedelta(hours=3)
    Batch.objects.update(opened_at=hours, done_at=hours)
    assert fold() == before.batches - 1
    left, right = FoldedBatches.objects.order_by("from_offset")
    assert (left.to_offset, right.from_offset) == (middle.from_offset, middle.to_offset)
    assert left.batches == 2
    (after,) = audit(landed, timezone.now() - timedelta(hours=4))
    assert after.findings == []
    assert (after.batches, after.received, after.quarantined) == (before.batches, 202, 2)
    assert audited(landed).batches == 0  # nothing was done within the last hour


def test_the_command_tells_and_exits_by_the_outcome(landed: Source) -> None:
    out = io.StringIO()
    call_command("ledger", str(landed), stdout=out)
    assert "202" in out.getvalue()
    assert f"The books of {landed} balance." in out.getvalue()
    in_table(landed, "ALTER TABLE {table} DELETE WHERE _offset = 50")
    with pytest.raises(CommandError, match="do not balance"):
        call_command("ledger", str(landed), "--quick", stdout=out)
    assert "Partition 0: missing" in out.getvalue()


def test_the_command_says_what_it_does_not_understand(landed: Source) -> None:
    with pytest.raises(CommandError, match="There is no source acme"):
        call_command("ledger", "acme.nothing")
    with pytest.raises(CommandError, match="'yesterday' is not a time"):
        call_command("ledger", str(landed), "--since", "yesterday")
