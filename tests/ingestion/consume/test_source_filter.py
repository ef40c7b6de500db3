"""A source's filter by the real ways in: what it leaves out is counted, and landed once."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.utils import timezone

from ingestion import ddl
from ingestion.landing import addresses, direct_insert
from ingestion.ledger.locate import by_offset
from ingestion.models import Batch, BatchState, Source, SourceMinute, Table
from ingestion.monitoring.quarantine_limit import pause_beyond
from ingestion.monitoring.source_status import source_status
from ingestion.provision import columns_of, provision_table
from ingestion.quarantine.dry_run import dry_run
from ingestion.services import quarantine_runs as runs
from ingestion.services import removal, sources, tables
from tenants.models import Tenant
from tenants.warehouse import client
from tests.ingestion.mending import UNQUOTE, finish, land
from tests.ingestion.running import (
    Crash,
    balance,
    consume,
    consume_until,
    crash_at_insert,
    error,
    misfits,
    numbers,
    partition,
)

COLUMNS = [
    {"name": "n", "type": "UInt32"},
    {"name": "kind", "type": "LowCardinality(String)"},
    {"name": "total", "type": "Decimal(9, 2)"},
    {"name": "note", "type": "Nullable(String)", "required": False},
    {"name": "day", "type": "Date", "format": "%d.%m.%Y"},
    {"name": "at", "type": "Tuple(x Int32, y Int32)"},
    {"name": "hashed", "type": "UInt64", "expression": "sipHash64(kind)"},
]
FILTER = "kind = 'order' AND note != 'test'"


@pytest.fixture
def described(tenant_factory: Callable[..., Tenant], table_factory: Callable[..., Table]) -> Table:
    return table_factory(tenant_factory(), COLUMNS, sorting_key=["n"])


def message(n: float, **changes: Any) -> bytes:
    usual = {"kind": "order", "total": 1, "day": "01.02.2024", "at": {"x": 1, "y": 2}}
    return json.dumps({"n": n, **usual, **changes}).encode()


#: By what becomes of them. Some have an unusual form, which only the long query types.
KEPT = [message(0), message(1, note=None), message(2, note="7"), message(3, total=2.5)]
LEFT_OUT = [
    message(10, kind="view"),
    message(11, note="test"),
    message(12.0, kind="view"),
    # The condition that says no fits, whatever the rest is.
    message(13, kind="view", total="many", day="never"),
    b'{"n": 14, "kind": "view"}',
    message(15, kind=7, note="test"),
]
QUARANTINED = [
    message(20, total="many"),
    # What the filter can't judge does not vanish.
    message(21, kind=7),
    message(22, note=7),
    b'{"n": 23, "kind": "view"',
    b'[{"kind": "view"}]',
]


def filtered(table: Table) -> int:
    table.refresh_from_db()
    place = addresses.place_of(table).filtered
    return int(client.rows(f"SELECT count() AS n FROM {place}")[0]["n"]) if place else 0


def held(table: Table) -> tuple[int, int, int]:
    return len(numbers(table)), filtered(table), len(misfits(table))


def total(table: Table, count: int) -> Callable[[], bool]:
    return lambda: sum(held(table)) >= count


def filtering(stream: Any, table: Table, expression: str = FILTER, **fields: Any) -> Source:
    source: Source = stream.source(table, filter=expression, **fields)
    change(source, expression)
    return source


def change(source: Source, expression: str) -> None:
    """What saving the source does, and the task after it."""
    source.filter = expression
    sources.check_filter(source)
    source.save()
    sources.request_filter(source, "what it was")
    provision_table(source.table)
    source.table.refresh_from_db()
    assert source.table.applied == source.table.generation, source.table.error


def settled(source: Source) -> tuple[int, int, int]:
    """Landed, filtered and quarantined messages by the books, once all batches are settled."""
    consume_until(
        source,
        lambda: (
            not Batch.objects.filter(partition__source=source)
            .exclude(state=BatchState.SETTLED)
            .exists()
        ),
    )
    found = partition(source)
    return found.landed, found.filtered, found.quarantined


def test_what_a_filter_leaves_out_is_counted_and_not_in_quarantine(
    stream: Any, described: Table
) -> None:
    source = filtering(stream, described, quarantine_limit=0)
    broken = QUARANTINED if stream.takes_anything else QUARANTINED[:3]
    every = [*KEPT, *LEFT_OUT, *broken]
    stream.send(every)
    consume_until(source, total(described, len(every)))
    assert error(source) == ""
    assert numbers(described) == [0, 1, 2, 3]
    assert held(described) == (len(KEPT), len(LEFT_OUT), len(broken))
    assert settled(source) == (len(KEPT), len(LEFT_OUT), len(broken))
    (audited,) = balance(source)
    assert (audited.inserted, audited.filtered, audited.quarantined) == held(described)
    assert audited.received == len(every)
    (status,) = source_status(Source.objects.filter(tenant=source.tenant, pk=source.pk))
    assert (status.landed, status.filtered, status.quarantined) == held(described)


def test_many_messages_by_way_of_the_views(topic: Any, described: Table) -> None:
    stream = topic()
    source = filtering(stream, described)
    stream.send([message(n, kind="order" if n % 3 else "view") for n in range(30)])
    consume_until(source, total(described, 30))
    assert held(described) == (20, 10, 0)
    assert settled(source) == (20, 10, 0)
    balance(source)


@pytest.mark.slow
def test_killed_at_the_insert_nothing_is_lost_or_doubled(
    stream: Any, described: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = filtering(stream, described)
    every = [message(n, kind="order" if n % 2 else "view") for n in range(6)]
    stream.send(every)
    crash_at_insert(source, monkeypatch, lambda rows: rows.slice(0, 3))
    consume_until(source, total(described, 6))
    consume(source)
    assert held(described) == (3, 3, 0)
    landed_, left_out, misfits_ = settled(source)
    assert (landed_ + left_out, misfits_) == (6, 0)
    balance(source)


def test_a_filter_is_added_changed_and_removed_while_messages_flow(
    topic: Any, described: Table
) -> None:
    stream = topic()
    source = stream.source(described)
    views = [message(n, kind="view") for n in range(2)]
    stream.send(views)
    consume_until(source, total(described, 2))
    described.refresh_from_db()
    assert not described.has_filtered
    change(source, FILTER)
    stream.send(views)
    consume_until(source, total(described, 4))
    assert held(described) == (2, 2, 0)
    change(source, "kind != 'other'")
    stream.send(views)
    consume_until(source, total(described, 6))
    assert held(described) == (4, 2, 0)
    change(source, "")
    stream.send(views)
    consume_until(source, total(described, 8))
    assert held(described) == (6, 2, 0)
    assert settled(source) == (6, 2, 0)
    balance(source)


def test_a_new_source_waits_for_its_filter(topic: Any, described: Table) -> None:
    stream = topic()
    source = stream.source(described, filter=FILTER)
    stream.send([message(0, kind="view")])
    consume(source)
    assert "has not applied the filter" in error(source)
    change(source, FILTER)
    consume_until(source, total(described, 1))
    assert held(described) == (0, 1, 0)


def test_each_source_of_a_table_has_its_own_filter(topic: Any, described: Table) -> None:
    one, other = topic(), topic()
    first = filtering(one, described, "n < 5", name="first")
    connection = first.connection
    second = Source.objects.create(
        tenant=described.tenant,
        name="second",
        connection=connection,
        stream=other.name,
        table=described,
    )
    every = [message(n) for n in range(10)]
    one.send(every)
    other.send(every)
    consume_until(first, total(described, 20))
    assert held(described) == (15, 5, 0)
    assert settled(first) == (5, 5, 0)
    assert settled(second) == (10, 0, 0)


def test_filtered_messages_are_none_of_the_quarantine_limit(topic: Any, described: Table) -> None:
    stream = topic()
    source = filtering(stream, described, quarantine_limit=50)
    SourceMinute.objects.create(
        source=source,
        began_at=timezone.now().replace(second=0, microsecond=0),
        rows=9_000,
        filtered=8_000,
        quarantined=600,
    )
    Source.objects.filter(pk=source.pk).update(counted_from=timezone.now() - timedelta(hours=1))
    assert pause_beyond([source]) == {source.pk}


def test_where_a_filtered_message_is_and_by_which_filter(table: Table) -> None:
    source = filtering_events(table, "n > 1")
    found = by_offset(source, 0, 0)
    assert [(row.is_filtered, row.is_misfit) for row in found.rows] == [(True, False)]
    assert any("its filter 'n > 1' is false" in note for note in found.notes)
    assert not any("neither" in note for note in found.notes)
    out = io.StringIO()
    call_command("locate", str(source), offset=0, stdout=out)
    assert "Filtered: {" in out.getvalue()


def test_a_message_that_is_mended_passes_the_filter_too(table: Table) -> None:
    source = filtering_events(table, "n > 5")
    assert held(table) == (0, 2, 4)
    tried = dry_run(runs.selected(table), UNQUOTE)
    assert (tried.fit, tried.filtered, tried.unfit) == (2, 1, 1)
    made = finish(runs.replay(runs.selected(table), UNQUOTE))
    assert (made.moved, made.unfit) == (3, 1), made.error
    assert numbers(table) == [6, 7]
    assert held(table) == (2, 3, 1)
    (audited,) = balance(source)
    assert (audited.inserted, audited.filtered, audited.quarantined) == (2, 3, 1)
    assert audited.received == 6


@pytest.mark.parametrize("when", [False, True])
def test_a_replay_killed_at_the_insert_counts_a_filtered_message_once(
    table: Table, monkeypatch: pytest.MonkeyPatch, when: bool
) -> None:
    source = filtering_events(table, "n > 5")
    insert = direct_insert.land_replayed

    def dies(*arguments: Any) -> None:
        if when:
            insert(*arguments)
        raise Crash

    with monkeypatch.context() as patched:
        patched.setattr(direct_insert, "land_replayed", dies)
        run = runs.replay(runs.selected(table), UNQUOTE)
        with pytest.raises(Crash):
            finish(run)
    assert finish(run).state == "done"
    assert held(table) == (2, 3, 1)
    balance(source)


def test_a_backfill_has_no_filter(table: Table, tmp_path: Path) -> None:
    filtering_events(table, "n > 5")
    file = tmp_path / "history.ndjson"
    file.write_text('{"n": 1}\n{"n": 2}\n')
    call_command("backfill", str(table), str(file), stdout=io.StringIO(), stderr=io.StringIO())
    assert numbers(table) == [1, 2]
    assert held(table) == (2, 2, 4)


def test_the_origins_go_with_the_source_and_with_the_table(table: Table) -> None:
    source = filtering_events(table, "n > 5")
    shown = removal.preview(source)
    assert any("filtered messages of" in str(line) for line in shown.rows)
    removal._delete_rows(source)
    assert held(table) == (0, 0, 0)


WRONG = {
    "n >": "A column, a function",
    "nothing = 1": "There is no column 'nothing'",
    "1 = 1": "reads no column",
    "n": "neither true nor false",
    "rand() > n": "rand can't be used",
    "toDate(n) > 3": "toDate",
}


@pytest.mark.parametrize("expression", WRONG)
def test_what_is_no_filter_is_refused(table: Table, expression: str) -> None:
    source = Source(tenant=table.tenant, name="first", table=table, filter=expression)
    with pytest.raises(ddl.SpecError, match=re.escape(WRONG[expression])):
        sources.check_filter(source)


def test_a_column_that_a_filter_reads_stays(table: Table) -> None:
    filtering_events(table, "n > 5")
    columns = tuple(one for one in columns_of(table) if one.name != "n")
    with pytest.raises(ddl.SpecError, match="The filter of source first, 'n > 5'"):
        tables.check_table(table, columns)


def test_a_source_brings_its_filter_to_another_table(
    table: Table,
) -> None:
    source = Source.objects.create(tenant=table.tenant, name="first", table=table, filter="n > 1")
    generation = table.generation
    sources.request_filter(source, "n > 1", table.pk)
    sources.request_filter(source, "n > 1", 0)
    table.refresh_from_db()
    assert table.generation == generation + 1


def filtering_events(table: Table, expression: str) -> Source:
    """Six events, of which two are filtered and four misfits; by the default expression."""
    source = Source.objects.create(tenant=table.tenant, name="first", table=table)
    change(source, expression)
    events = [b'{"n": 1}', b'{"n": 2}' if "5" in expression else b'{"n": 1}']
    events += [b'{"n": "%d"}' % n for n in (5, 6, 7)] + [b'{"s": "x"}']
    return land(table, events)
