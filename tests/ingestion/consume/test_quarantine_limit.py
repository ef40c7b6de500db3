"""A source whose messages hardly fit any more is paused, and loses nothing."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from ingestion.consume.loop import Slice
from ingestion.consume.scheduling.batch_policy import BatchPolicy
from ingestion.consume.steps import poll
from ingestion.models import Source, SourceMinute, StreamPartition, Table
from ingestion.monitoring import quarantine_limit
from ingestion.monitoring.source_status import SourceStatus, source_status
from ingestion.services import sources
from tenants.warehouse import client

# Each test consumes for a second or more.
pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("within_a_minute")]

POLICY = BatchPolicy(rows=500, bytes=1 << 20, seconds=0.1, held_bytes=1 << 22)


def good(start: int, end: int) -> list[bytes]:
    return [b'{"n": %d}' % n for n in range(start, end)]


def bad(count: int) -> list[bytes]:
    return [b'{"n": "none %d"}' % n for n in range(count)]


def consume(source: Source, seconds: float = 5) -> None:
    Slice(source.connection_id, seconds=seconds, policy=POLICY).run()


def status(source: Source) -> SourceStatus:
    return source_status(Source.across_tenants.filter(pk=source.pk))[0]


def held(table: Table) -> tuple[int, int]:
    """The numbers of rows in the table and in its quarantine."""
    at = f"{table.tenant.warehouse.database}.{table.name}"
    counts = [client.rows(f"SELECT count() AS c FROM {at}{end}") for end in ("", "__quarantine")]
    return counts[0][0]["c"], counts[1][0]["c"]


def test_beyond_the_limit_a_source_is_paused_and_loses_nothing(
    topic: Callable[..., Any], table: Table
) -> None:
    stream = topic()
    source = stream.source(table)
    stream.send(good(0, 400) + bad(800))
    consume(source)
    found = status(source)
    assert found.state == "paused"
    assert "800 of the last 1,200 messages (67%)" in found.paused_reason
    assert "the limit of 50 %" in found.paused_reason
    assert "in n" in found.paused_reason
    assert held(table) == (400, 800)

    stream.send(bad(300) + good(400, 500))
    consume(source)
    assert held(table) == (400, 800)
    part = StreamPartition.objects.get(source=source)
    assert (part.position, part.lease_owner) == (1200, "")

    source.refresh_from_db()
    sources.resume(source)
    assert status(source).paused_reason == ""
    consume(source)
    # 300 of 400 did not fit, and it runs: misfits before the resumption no longer count.
    assert status(source).state != "paused"
    assert held(table) == (500, 1100)
    stream.send(bad(900))
    consume(source)
    assert status(source).state == "paused"
    assert "1,200 of the last 1,300 messages (92%)" in status(source).paused_reason
    assert held(table) == (500, 2000)


def test_what_a_fast_sender_breaks_is_left_at_the_broker(
    topic: Callable[..., Any], table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A flood of misfits is read only until the next heartbeat."""
    monkeypatch.setattr(poll, "POLL_ROWS", 200)
    stream = topic()
    source = stream.source(table)
    stream.send(bad(60_000))
    slow = BatchPolicy(rows=200, bytes=1 << 20, seconds=0.1, held_bytes=1 << 13)
    Slice(source.connection_id, seconds=30, policy=slow).run()
    assert status(source).state == "paused"
    part = StreamPartition.objects.get(source=source)
    assert part.position is not None
    assert part.position < 60_000
    assert held(table) == (0, part.position)
    Source.objects.filter(pk=source.pk).update(quarantine_limit=0)
    sources.resume(source)
    monkeypatch.undo()
    consume(source, 15)
    assert held(table) == (0, 60_000)


def test_other_sources_of_the_slice_go_on(
    topic: Callable[..., Any], table: Table, table_factory: Callable[..., Table]
) -> None:
    stream = topic()
    source = stream.source(table)
    other_table = table_factory(table.tenant, [{"name": "n", "type": "String"}], name="texts")
    other = Source.objects.create(
        tenant=table.tenant,
        name="other",
        connection=source.connection,
        stream=stream.name,
        table=other_table,
    )
    stream.send(bad(1500))
    consume(source)
    assert status(source).state == "paused"
    assert status(other).state != "paused"
    assert held(other_table) == (1500, 0)


@pytest.fixture
def judged(table: Table) -> Callable[..., set[int]]:
    """Judge a source that had these rows in a minute that long ago."""

    def judge(rows: int, misfits: int, back: int = 0, **fields: Any) -> set[int]:
        now = timezone.now()
        source = Source.objects.create(
            tenant=table.tenant,
            name=f"s{Source.objects.count()}",
            table=table,
            counted_from=now - timedelta(days=1),
            **fields,
        )
        SourceMinute.objects.create(
            source=source,
            began_at=now.replace(second=0, microsecond=0) - timedelta(minutes=back),
            rows=rows,
            quarantined=misfits,
        )
        return {one == source.pk for one in quarantine_limit.pause_beyond([source], now)}

    return judge


@pytest.mark.parametrize(
    ("rows", "misfits", "back", "fields", "paused"),
    [
        (1000, 501, 0, {}, True),
        (1000, 500, 0, {}, False),
        (999, 999, 0, {}, False),
        (1000, 501, 4, {}, True),
        (1000, 501, 5, {}, False),
        (1000, 1000, 0, {"quarantine_limit": 0}, False),
        (1000, 20, 0, {"quarantine_limit": 1}, True),
        (1000, 1000, 0, {"quarantine_limit": 99}, True),
        (1000, 990, 0, {"quarantine_limit": 99}, False),
        (1000, 1000, 0, {"active": False}, False),
    ],
)
def test_when_it_is_beyond(
    rows: int,
    misfits: int,
    back: int,
    fields: dict[str, Any],
    paused: bool,
    judged: Callable[..., set[int]],
) -> None:
    assert judged(rows, misfits, back, **fields) == ({True} if paused else set())


def test_while_all_fits_nothing_is_asked(
    topic: Callable[..., Any], table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = topic()
    source = stream.source(table)
    stream.send(good(0, 50))
    asked: list[Any] = []
    monkeypatch.setattr(
        quarantine_limit, "pause_beyond", lambda sources: asked.append(sources) or set()
    )
    consume(source)
    assert asked == []
    stream.send(bad(1))
    consume(source)
    assert len(asked) == 1


def test_paused_by_hand_there_is_no_reason(table: Table) -> None:
    source = Source.objects.create(tenant=table.tenant, name="mine", table=table)
    sources.pause(source, "It did not fit.")
    assert status(source).paused_reason == "It did not fit."
    sources.resume(source)
    sources.pause(source)
    assert (status(source).state, status(source).paused_reason) == ("paused", "")
