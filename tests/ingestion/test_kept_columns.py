"""Columns that were left out of a table's description: which are kept, and when they may go."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection as database
from django.utils import timezone

from analytics_api.models import SavedQuery
from analytics_api.services.saved_queries import publish
from ingestion import versions
from ingestion.consume.loop import Slice
from ingestion.errors import NotConfirmed
from ingestion.models import Backfill, BackfillChunk, Column, Source, Table, TableVersion
from ingestion.provision import provision_table, tidy_table
from ingestion.services import kept_columns as service
from ingestion.services import tables
from ingestion.services.events import accept
from ingestion.services.kept_columns import CannotDrop, drop_column, kept_columns
from tenants.models import AuditEntry, Tenant
from tenants.warehouse import client
from tenants.warehouse.errors import WarehouseError, WarehouseUnreachable
from tests.ingestion.running import consume, consume_until, crash_at_insert, numbers

COLUMNS = [
    {"name": "n", "type": "UInt32"},
    {"name": "s", "type": "String", "required": False, "default": '""'},
    {"name": "note", "type": "Nullable(String)", "required": False},
]


@pytest.fixture
def wide(tenant_factory: Callable[..., Tenant], table_factory: Callable[..., Table]) -> Table:
    return table_factory(tenant_factory(), COLUMNS, sorting_key=["n"])


def leave_out(table: Table, *names: str) -> Table:
    Column.objects.filter(table=table, name__in=names).delete()
    tables.request_table(table)
    provision_table(table)
    table.refresh_from_db()
    assert table.applied == table.generation, table.error
    return table


def pass_time(table: Table) -> None:
    """Let the former version's pipeline be dropped, if nobody needs it."""
    TableVersion.objects.filter(table=table, number=table.version).update(
        applied_at=timezone.now() - versions.STAYS - timedelta(seconds=1)
    )
    tidy_table(table)


def names_of(table: Table) -> list[str]:
    sql = "SELECT name FROM system.columns WHERE database = {d:String} AND table = {t:String}"
    bound = {"d": table.tenant.warehouse.database, "t": table.name}
    return [row["name"] for row in client.rows(sql, bound)]


def hindrance(table: Table, name: str = "note") -> str:
    return next(one.hindrance for one in kept_columns(table) if one.name == name)


def stays(table: Table, name: str = "note") -> str:
    """Try to drop it; why it stays."""
    with pytest.raises(CannotDrop) as refused:
        drop_column(table, name, name)
    assert name in names_of(table)
    return str(refused.value)


@pytest.mark.slow
def test_a_column_that_was_left_out_is_kept_and_goes_with_its_data(wide: Table) -> None:
    assert kept_columns(wide) == []
    source = Source.objects.create(tenant=wide.tenant, name="http", table=wide)
    accept(source, [b'{"n": 1, "s": "a", "note": "x"}', b'{"n": 2, "s": "b"}'])
    consume(source)
    leave_out(wide, "note")
    pass_time(wide)
    (kept,) = kept_columns(wide)
    assert (kept.name, kept.type, kept.hindrance) == ("note", "Nullable(String)", "")
    for name in ("", "NOTE", "s"):
        with pytest.raises(NotConfirmed):
            drop_column(wide, "note", name)
    drop_column(wide, "note", "note")
    assert "note" not in names_of(wide)
    assert kept_columns(wide) == []
    accept(source, [b'{"n": 3, "note": "y"}'])
    consume(source)
    assert numbers(wide) == [1, 2, 3]
    entry = AuditEntry.objects.get(action="table.drop_column")
    assert entry.detail == {"column": "note"}
    assert "keeps no column 'note'" in str(_refused(wide, "note"))


def _refused(table: Table, name: str) -> BaseException:
    with pytest.raises(CannotDrop) as refused:
        drop_column(table, name, name)
    return refused.value


@pytest.mark.parametrize("name", ["n", "s", "_offset", "_batch", "nothing", "by_hand"])
def test_only_what_was_left_out_is_dropped(name: str, wide: Table) -> None:
    at = f"{wide.tenant.warehouse.database}.{wide.name}"
    client.execute([f"ALTER TABLE {at} ADD COLUMN by_hand UInt8"])
    leave_out(wide, "note")
    pass_time(wide)
    before = names_of(wide)
    assert [one.name for one in kept_columns(wide)] == ["note"]
    assert f"keeps no column '{name}'" in str(_refused(wide, name))
    assert names_of(wide) == before


def test_it_stays_while_messages_may_be_typed_into_it(
    wide: Table, topic: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    kafka = topic()
    source = kafka.source(wide)
    kafka.send([b'{"n": %d, "note": "x"}' % n for n in range(20)])
    crash_at_insert(source, monkeypatch, lambda rows: rows.slice(0, 7))
    leave_out(wide, "note")
    assert "may still be typed into it" in stays(wide)
    pass_time(wide)  # and the batch is open still
    assert "may still be typed into it" in stays(wide)
    # Even where an earlier release has dropped the pipeline under the open batch.
    with monkeypatch.context() as patched:
        patched.setattr(versions, "_is_needed", lambda _: False)
        pass_time(wide)
    assert "may still be typed into it" in stays(wide)
    consume_until(source, lambda: len(numbers(wide)) == 20)
    pass_time(wide)
    drop_column(wide, "note", "note")
    kafka.send([b'{"n": 20, "note": "x"}'])
    consume_until(source, lambda: len(numbers(wide)) == 21)
    assert numbers(wide) == list(range(21))


def test_it_stays_while_a_chunk_of_a_backfill_is_open(wide: Table) -> None:
    loading = Backfill.objects.create(
        table=wide, name="h.csv", sha256="ab", format="csv", chunk_rows=10
    )
    chunk = BackfillChunk.objects.create(backfill=loading, from_row=0, to_row=9, table_version=1)
    leave_out(wide, "note")
    pass_time(wide)
    assert "no batch or backfill" in stays(wide)
    BackfillChunk.objects.filter(pk=chunk.pk).update(done_at=timezone.now())
    pass_time(wide)
    assert hindrance(wide) == ""


def test_it_stays_while_a_wish_is_not_applied(wide: Table) -> None:
    leave_out(wide, "note")
    pass_time(wide)
    Column.objects.create(table=wide, name="more", type="Nullable(String)", required=False)
    tables.request_table(wide)
    wide.refresh_from_db()
    assert "not applied yet" in stays(wide)
    Column.objects.create(table=wide, name="note", type="Nullable(String)", required=False)
    assert kept_columns(wide) == []


ROLLUP = (
    "CREATE MATERIALIZED VIEW {d}.sums ENGINE = SummingMergeTree ORDER BY word "
    "AS SELECT ifNull(note, '') AS word, count() AS c FROM {d}.events GROUP BY word"
)
TTL = (
    "ALTER TABLE {d}.events MODIFY TTL toDateTime(_ingested_at) + INTERVAL 9 YEAR "
    "DELETE WHERE note = 'x'"
)


@pytest.mark.parametrize(
    ("statement", "says"),
    [
        (ROLLUP, "column: sums"),
        ("CREATE VIEW {d}.seen AS SELECT upper(note) AS u FROM {d}.events", "column: seen"),
        (TTL, "TTL"),
    ],
)
def test_it_stays_while_a_rollup_or_the_ttl_is_made_of_it(
    statement: str, says: str, wide: Table
) -> None:
    leave_out(wide, "note")
    pass_time(wide)
    client.execute([statement.format(d=wide.tenant.warehouse.database)])
    assert says in stays(wide)


def test_what_clickhouse_itself_refuses_changes_nothing(wide: Table) -> None:
    at = f"{wide.tenant.warehouse.database}.{wide.name}"
    client.execute([f"ALTER TABLE {at} ADD COLUMN by_hand String DEFAULT ifNull(note, '-')"])
    leave_out(wide, "note")
    pass_time(wide)
    with pytest.raises(WarehouseError):
        drop_column(wide, "note", "note")
    assert "note" in names_of(wide)
    assert not AuditEntry.objects.filter(action="table.drop_column").exists()


@pytest.mark.parametrize("begun", [True, False])
def test_an_answer_that_does_not_come_is_no_answer(
    begun: bool, wide: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave_out(wide, "note")
    pass_time(wide)
    execute = client.execute

    def lost(statements: Any, options: Any = None) -> None:
        if begun:
            execute(statements, options)
        raise WarehouseUnreachable("ClickHouse does not answer.")

    with monkeypatch.context() as patched:
        patched.setattr(client, "execute", lost)
        if begun:
            drop_column(wide, "note", "note")
        else:
            with pytest.raises(WarehouseUnreachable):
                drop_column(wide, "note", "note")
    assert ("note" in names_of(wide)) is not begun
    assert AuditEntry.objects.filter(action="table.drop_column").exists() is begun


def test_queries_that_name_it_are_told(wide: Table) -> None:
    for name, sql in (("says", "SELECT note FROM events"), ("not", "SELECT n FROM events")):
        publish(SavedQuery.objects.create(tenant=wide.tenant, name=name, sql=sql))
    leave_out(wide, "note")
    assert service.failing_queries(wide, "note") == ["says"]


def test_what_comes_again_after_it_is_a_column_like_any_other(wide: Table) -> None:
    leave_out(wide, "note")
    pass_time(wide)
    drop_column(wide, "note", "note")
    Column.objects.create(table=wide, name="note", type="Array(UInt8)", position=2)
    leave_out(wide)
    source = Source.objects.create(tenant=wide.tenant, name="http", table=wide)
    accept(source, [b'{"n": 1, "note": [7]}'])
    consume(source)
    assert client.rows(f"SELECT note FROM {wide.tenant.warehouse.database}.events") == [
        {"note": [7]}
    ]


class Worker:
    """Slices of one connection, in a thread of their own."""

    def __init__(self, connection_id: int) -> None:
        self._over = threading.Event()
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(connection_id,))

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(120)

    def _run(self, connection_id: int) -> None:
        try:
            while not self._over.is_set():
                Slice(connection_id, seconds=30, should_stop=self._over.is_set).run()
        except BaseException as error:  # noqa: BLE001 - the test tells of it
            self.error = error
        finally:
            database.close()


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_it_goes_while_messages_flow(wide: Table, topic: Callable[..., Any]) -> None:
    kafka = topic()
    source = kafka.source(wide)
    worker, sent = Worker(source.connection_id), 0

    def send() -> None:
        nonlocal sent
        kafka.send([b'{"n": %d, "note": "x"}' % n for n in range(sent, sent + 50)])
        sent += 50

    with worker:
        for _ in range(8):
            send()
        leave_out(wide, "note")
        deadline = time.monotonic() + 120
        while hindrance(wide) and time.monotonic() < deadline:
            send()
            pass_time(wide)
        send()
        drop_column(wide, "note", "note")
        for _ in range(8):
            send()
        while len(numbers(wide)) < sent and time.monotonic() < deadline:
            time.sleep(0.2)
    assert worker.error is None
    assert "note" not in names_of(wide)
    assert numbers(wide) == list(range(sent))
    source.refresh_from_db()
    assert (source.error, source.active) == ("", True)
