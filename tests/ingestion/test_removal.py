"""Deleting and archiving sources, tables and connections, also while workers read them."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from django.db import OperationalError
from django.db import connection as database

from analytics_api.models import SavedQuery
from analytics_api.services.saved_queries import publish
from ingestion import ddl, provision
from ingestion.consume import discovery
from ingestion.consume.loop import Slice
from ingestion.errors import NotConfirmed
from ingestion.landing import addresses
from ingestion.leases import lease
from ingestion.models import (
    Batch,
    Column,
    Connection,
    Gap,
    Source,
    SourceMinute,
    StreamPartition,
    Table,
)
from ingestion.provision import spec_of
from ingestion.services import holding, removal, sources
from ingestion.services.events import accept
from ingestion.tasks.consume import consume_slice, measure_connection
from tenants.lifecycle import mutation
from tenants.models import AuditEntry
from tenants.rest.problem import Problem
from tenants.warehouse import client
from tenants.warehouse.errors import StatementFailed, WarehouseUnreachable
from tenants.warehouse.quoting import identifier
from tests.ingestion.running import consume, consume_until, misfits, numbers


def wait_until(done: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture
def http(table: Table) -> Source:
    """A source that has landed three rows and a misfit, and has all kinds of books."""
    made = Source.objects.create(tenant=table.tenant, name="http", table=table)
    accept(made, [b'{"n": 1}', b'{"n": 2}', b'{"n": 3}', b'{"n": "x"}'])
    consume(made)
    part = StreamPartition.objects.get(source=made)
    Gap.objects.create(partition=part, from_offset=90, to_offset=99, reason="deleted")
    assert numbers(table) == [1, 2, 3]
    return made


@pytest.fixture
def other(http: Source) -> Source:
    """Another source of the same table, with a row of its own."""
    made = Source.objects.create(tenant=http.tenant, name="other", table=http.table)
    accept(made, [b'{"n": 9}'])
    consume(made)
    return made


# --- What goes and what stays -------------------------------------------------------------------


def test_a_preview_says_what_goes_and_changes_nothing(http: Source) -> None:
    accept(http, [b'{"n": 4}', b'{"n": 5}'])
    found = removal.preview(http)
    assert {one.count for one in found.rows} == {3, 1}
    assert "2 events that were sent over HTTP and have not landed yet." in found.goes
    assert {"stream partitions", "batches", "gaps"} <= set(found.books)
    assert Source.objects.get(pk=http.pk).active
    assert StreamPartition.objects.filter(source=http).exists()


def test_a_preview_of_a_table_names_the_queries_that_fail_then(http: Source) -> None:
    database = http.tenant.warehouse.database
    client.execute([f"CREATE TABLE {database}.lasting (n UInt32) ENGINE = MergeTree ORDER BY n"])
    for name, sql in (
        ("sums", "SELECT sum(n) AS n FROM events"),
        ("misfits", "SELECT raw FROM events__quarantine"),
        ("stays", "SELECT n FROM lasting"),
    ):
        publish(SavedQuery.objects.create(tenant=http.tenant, name=name, sql=sql))
    assert removal.preview(http.table).queries == ("misfits", "sums")
    assert removal.preview(http).queries == ()


def test_of_many_queries_twenty_are_named() -> None:
    many = [f"q{number}" for number in range(23)]
    assert removal.some_of(many).endswith("q18, q19 and 3 more")
    assert removal.some_of(many[:20]).endswith("q18, q19")


@pytest.mark.slow
def test_a_source_that_has_read_goes_with_its_books_and_its_rows_stay(
    http: Source, other: Source
) -> None:
    assert removal.delete(http, "http", with_rows=False) == []
    assert list(Source.objects.all()) == [other]
    for model, path in (
        (StreamPartition, "source"),
        (Batch, "partition__source"),
        (Gap, "partition__source"),
        (SourceMinute, "source"),
    ):
        assert not model.objects.filter(**{path: http.pk}).exists(), model
    assert numbers(http.table) == [1, 2, 3, 9]
    entry = AuditEntry.objects.get(action="source.delete")
    assert (entry.object_name, entry.tenant_id) == (str(http), http.tenant_id)


@pytest.mark.slow
def test_with_its_rows_only_its_own_go(http: Source, other: Source) -> None:
    removal.delete(http, "http", with_rows=True)
    assert numbers(http.table) == [9]
    assert misfits(http.table) == []


@pytest.mark.slow
def test_a_table_goes_with_its_rows_and_the_sources_that_feed_it(
    http: Source, other: Source
) -> None:
    table, at = http.table, addresses.address_of(http.table)
    removal.delete(table, table.name, with_rows=False)
    assert not Table.objects.filter(pk=table.pk).exists()
    assert not Column.objects.filter(table=table.pk).exists()
    assert not Source.objects.exists()
    left = client.rows("SHOW TABLES FROM " + at.table.split(".", maxsplit=1)[0])
    assert left == []


@pytest.mark.parametrize("with_rows", [False, True])
def test_a_source_made_while_others_are_held_is_not_deleted_unheld(
    http: Source, monkeypatch: pytest.MonkeyPatch, *, with_rows: bool
) -> None:
    """The second attempt holds it, too."""
    table, at = http.table, addresses.address_of(http.table)
    against = removal._tables_held

    def made_meanwhile(obj: Any, found: Any) -> Any:
        Source.objects.get_or_create(tenant=table.tenant, name="late", table=table)
        return against(obj, found)

    error = removal.StoppedHalfWay if with_rows else removal.NotDeleted
    with monkeypatch.context() as patch:
        patch.setattr(removal, "_tables_held", made_meanwhile)
        if not with_rows:
            patch.setattr(removal, "_may_have_parts", lambda _: False)
        with pytest.raises(error, match="late began to use it"):
            removal.delete(table, table.name, with_rows=with_rows)
    assert {one.name for one in Source.objects.all()} == {"http", "late"}
    assert Source.objects.get(name="http").active is not with_rows
    removal.delete(table, table.name, with_rows=with_rows)
    assert not Source.objects.exists()
    assert client.rows("SHOW TABLES FROM " + at.table.split(".", maxsplit=1)[0]) == []


def test_what_a_failed_change_has_left_of_the_next_version_goes_too(table: Table) -> None:
    spec = ddl.at_version(spec_of(table), table.version + 1, spec_of(table).columns)
    client.execute(ddl.pipeline(spec), ddl.STATEMENT_SETTINGS)
    removal.delete(table, table.name, with_rows=False)
    assert client.rows(f"SHOW TABLES FROM {identifier(spec.database)}") == []


def test_what_there_is_of_a_table_that_was_never_made_as_a_whole_goes_too(table: Table) -> None:
    Table.objects.filter(pk=table.pk).update(applied=0, version=0)
    table.versions.all().delete()
    removal.delete(Table.objects.get(), table.name, with_rows=False)
    assert client.rows(f"SHOW TABLES FROM {identifier(spec_of(table).database)}") == []


def test_a_table_is_not_deleted_while_another_process_alters_it(
    table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = Source.objects.create(tenant=table.tenant, name="http", table=table)
    begun, over = threading.Event(), threading.Event()

    def alter() -> None:
        try:
            with provision.held(table):
                begun.set()
                over.wait(30)
        finally:
            database.close()

    altering = threading.Thread(target=alter)
    altering.start()
    assert begun.wait(120)
    held = provision.held
    try:
        with monkeypatch.context() as patch:
            patch.setattr(provision, "held", lambda table: held(table, 0.3))
            with pytest.raises(provision.TableBusy, match="Try again in a moment"):
                removal.delete(table, table.name, with_rows=False)
    finally:
        over.set()
        altering.join()
    source.refresh_from_db()
    assert (source.active, source.paused_reason) == (True, "")
    removal.delete(table, table.name, with_rows=False)
    assert not Table.objects.exists()


def test_a_table_without_a_version_is_previewed_and_deleted(http: Source) -> None:
    table = http.table
    table.versions.all().delete()
    Table.objects.filter(pk=table.pk).update(version=0)
    for obj in (Source.objects.get(), Table.objects.get()):
        assert {one.count for one in removal.preview(obj).rows} == {3, 1}
    removal.delete(Source.objects.get(), "http", with_rows=True)
    assert numbers(table) == []
    removal.delete(Table.objects.get(), table.name, with_rows=False)
    assert not Table.objects.exists()


def test_nothing_is_deleted_without_the_name(http: Source) -> None:
    with pytest.raises(NotConfirmed, match="give its name as the confirmation: http"):
        removal.delete(http, "HTTP", with_rows=True)
    assert Source.objects.get().active
    assert numbers(http.table) == [1, 2, 3]


@pytest.mark.slow
def test_what_clickhouse_can_not_do_leaves_all_as_it_was(
    http: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: Any) -> None:
        raise WarehouseUnreachable("ClickHouse does not answer.")

    with monkeypatch.context() as patch:
        patch.setattr(client, "admin", away)
        for obj in (http, http.table):
            with pytest.raises(WarehouseUnreachable):
                removal.delete(obj, obj.name, with_rows=True)
    source = Source.objects.get()
    assert (source.active, source.paused_reason) == (True, "")
    assert Table.objects.exists()
    accept(http, [b'{"n": 4}'])
    consume(http)
    assert numbers(http.table) == [1, 2, 3, 4]


class Failing:
    """In place of ``client.execute``: the statement of a number (from 1) is the last that ends."""

    def __init__(self, after: int) -> None:
        self._left, self._execute = after, client.execute

    def __call__(self, statements: Sequence[str], options: Any = None) -> None:
        for statement in statements:
            if not self._left:
                raise StatementFailed(60, "ClickHouse refuses.")
            self._left -= 1
            self._execute([statement], options)


def _postgres_fails(*_: Any) -> None:
    raise OperationalError("deadlock detected, of process 4711")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["source", "table"])
@pytest.mark.parametrize("place", ["second statement", "Postgres"])
def test_a_deletion_that_stops_half_way_leaves_the_sources_paused_and_can_be_repeated(
    http: Source, other: Source, monkeypatch: pytest.MonkeyPatch, kind: str, place: str
) -> None:
    obj = http if kind == "source" else http.table
    with monkeypatch.context() as patch:
        if place == "Postgres":
            patch.setattr(removal, "remove_with_all_below", _postgres_fails)
        else:
            patch.setattr(client, "execute", Failing(after=1))
        with pytest.raises(removal.StoppedHalfWay, match="stay paused") as failed:
            removal.delete(obj, obj.name, with_rows=True)
    assert "4711" not in str(failed.value)
    halted = Source.objects.filter(active=False, paused_reason__startswith="Its deletion stopped")
    assert set(halted) == {http} if kind == "source" else {http, other}
    assert not StreamPartition.objects.exclude(lease_owner="").exists()
    removal.delete(obj, obj.name, with_rows=True)
    assert not type(obj).objects.filter(pk=obj.pk).exists()
    if kind == "source":
        assert numbers(other.table) == [9]
        other.refresh_from_db()
        assert (other.active, other.paused_reason) == (True, "")


def test_without_rows_a_failure_of_postgres_leaves_all_as_it_was(
    http: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(removal, "remove_with_all_below", _postgres_fails)
        with pytest.raises(removal.NotDeleted, match="Nothing was deleted"):
            removal.delete(http, "http", with_rows=False)
    source = Source.objects.get()
    assert (source.active, source.paused_reason) == (True, "")


@pytest.mark.slow
def test_a_mutation_that_outlasts_the_connection_is_waited_for(
    http: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = addresses.address_of(http.table)
    execute = client.execute

    def timed_out(statements: Sequence[str], _: Any = None) -> None:
        execute(statements)  # which goes on after it
        raise WarehouseUnreachable("ClickHouse does not answer.")

    client.execute([f"SYSTEM STOP MERGES {at.table}"])
    later = threading.Timer(2, client.execute, [[f"SYSTEM START MERGES {at.table}"]])
    later.start()
    with monkeypatch.context() as patch:
        patch.setattr(client, "execute", timed_out)
        removal.delete(http, "http", with_rows=True)
    later.join()
    assert (numbers(http.table), misfits(http.table)) == ([], [])


@pytest.mark.slow
def test_a_mutation_that_does_not_end_is_given_up_and_what_to_do_is_said(
    http: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = addresses.address_of(http.table)
    execute = client.execute

    def timed_out(statements: Sequence[str], _: Any = None) -> None:
        execute(statements, {"mutations_sync": 0})  # which goes on after it
        raise WarehouseUnreachable("ClickHouse does not answer.")

    client.execute([f"SYSTEM STOP MERGES {at.table}"])
    with monkeypatch.context() as patch:
        patch.setattr(client, "execute", timed_out)
        patch.setattr(mutation, "PATIENCE", 1.5)
        with pytest.raises(removal.StoppedHalfWay, match="KILL MUTATION") as stopped:
            removal.delete(http, "http", with_rows=True)
    assert "has not finished" in str(stopped.value)
    assert "stay paused" in str(stopped.value)
    http.refresh_from_db()
    assert not http.active
    client.execute([f"SYSTEM START MERGES {at.table}"])
    removal.delete(http, "http", with_rows=True)
    assert (numbers(http.table), misfits(http.table)) == ([], [])


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_leases_are_renewed_while_a_source_is_held_and_resumed_by_hand(
    http: Source, settings: Any
) -> None:
    settings.MILLRACE_LEASE_SECONDS = 2
    with holding.held([http], "It is held.") as hold:
        sources.resume(Source.objects.get(pk=http.pk))
        time.sleep(3.5)
        assert lease.take(None, "worker", 16) == []
        part = StreamPartition.objects.get(source=http)
        assert part.lease_owner == hold.leases[0].owner
    assert len(lease.take(None, "worker", 16)) == 1


def test_a_source_that_a_worker_holds_is_not_deleted_under_it(
    http: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(holding, "PATIENCE", 0.3)
    lease.take(None, "worker", 16)
    with pytest.raises(holding.StillRead, match="A worker is still reading"):
        removal.delete(http, "http", with_rows=False)
    assert Source.objects.get().active
    lease.release("worker", list(StreamPartition.objects.values_list("pk", flat=True)))
    removal.delete(http, "http", with_rows=False)
    assert not Source.objects.exists()


def test_a_second_deletion_says_that_the_first_is_still_at_it(
    http: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As while a mutation of a large table takes its time."""
    monkeypatch.setattr(holding, "PATIENCE", 0.3)
    with holding.held([http], "It is being deleted."):
        again = Source.objects.get(pk=http.pk)
        with pytest.raises(holding.StillRead, match="paused, and still held"):
            removal.delete(again, "http", with_rows=False)
    assert Source.objects.get().active


# --- While workers read -------------------------------------------------------------------------


class Worker:
    """A slice of one connection that runs in a thread of its own until it is stopped."""

    def __init__(self, connection_id: int) -> None:
        self._stop = threading.Event()
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(connection_id,))
        self._thread.start()

    def _run(self, connection_id: int) -> None:
        try:
            while not self._stop.is_set():
                Slice(connection_id, seconds=30, should_stop=self._stop.is_set).run()
        except BaseException as error:  # noqa: BLE001 - the test tells of it
            self.error = error
        finally:
            database.close()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(120)
        assert not self._thread.is_alive()
        assert self.error is None, self.error


@pytest.fixture
def two_topics(table_factory: Callable[..., Table], table: Table, topic: Any) -> Iterator[Any]:
    """Two sources on one connection, each with a table of its own, and a worker that reads both."""
    first, second = topic(), topic()
    doomed = first.source(table, name="doomed")
    columns = [{"name": "n", "type": "UInt32"}]
    kept = Source.objects.create(
        tenant=table.tenant,
        name="kept",
        connection=doomed.connection,
        stream=second.stream,
        table=table_factory(table.tenant, columns, name="kept"),
    )
    worker = Worker(doomed.connection_id)
    yield first, doomed, second, kept
    worker.stop()


def _send(stream: Any, start: int, count: int) -> None:
    stream.send([json.dumps({"n": start + number}).encode() for number in range(count)])


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("with_rows", [False, True])
def test_a_source_is_deleted_while_a_worker_reads_it_and_another(
    two_topics: Any, with_rows: bool
) -> None:
    first, doomed, second, kept = two_topics
    _send(first, 0, 500)
    _send(second, 0, 500)
    wait_until(lambda: len(numbers(kept.table)) == 500 and len(numbers(doomed.table)) == 500)
    _send(first, 500, 500)
    _send(second, 500, 500)
    removal.delete(doomed, "doomed", with_rows=with_rows)
    _send(first, 1000, 200)
    _send(second, 1000, 200)
    wait_until(lambda: len(numbers(kept.table)) >= 1200)
    assert numbers(kept.table) == list(range(1200))
    kept.refresh_from_db()
    assert (kept.active, kept.error) == (True, "")
    landed = numbers(doomed.table)
    assert landed == ([] if with_rows else list(range(len(landed))))
    assert not StreamPartition.objects.exclude(source=kept).exists()


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_a_table_is_deleted_while_a_worker_fills_it_and_another(two_topics: Any) -> None:
    first, doomed, second, kept = two_topics
    _send(first, 0, 500)
    wait_until(lambda: len(numbers(doomed.table)) == 500)
    _send(first, 500, 500)
    removal.delete(doomed.table, doomed.table.name, with_rows=True)
    _send(second, 0, 500)
    wait_until(lambda: len(numbers(kept.table)) >= 500)
    assert numbers(kept.table) == list(range(500))
    kept.refresh_from_db()
    assert kept.error == ""


@pytest.mark.slow
def test_a_kafka_source_leaves_no_consumer_group(table: Table, topic: Any) -> None:
    stream = topic()
    source = stream.source(table)
    _send(stream, 0, 10)
    group = f"millrace-{source.tenant.slug}-{source.name}"

    def groups() -> set[str]:
        stream.admin.list_topics(timeout=10)  # a client that knows no broker yet tells of none
        found = stream.admin.list_consumer_groups(request_timeout=10).result(10)
        return {one.group_id for one in found.valid}

    consume_until(source, lambda: group in groups())
    on = source.connection
    assert removal.delete(on, on.name, with_rows=True) == []
    assert group not in groups()
    assert numbers(table) == []
    assert not Connection.objects.exists()


@pytest.mark.slow
def test_a_broker_that_is_away_is_named_and_holds_nothing_up(table: Table) -> None:
    on = Connection.objects.create(
        tenant=table.tenant, name="away", kind="kafka", addresses="127.0.0.1:1"
    )
    source = Source.objects.create(
        tenant=table.tenant, name="s", connection=on, stream="t", table=table
    )
    (left,) = removal.delete(source, "s", with_rows=False)
    assert f"kafka-consumer-groups.sh --delete --group millrace-{table.tenant.slug}-s" in left
    assert not Source.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_tasks_that_were_asked_for_before_a_deletion_do_nothing(table: Table) -> None:
    on = Connection.objects.create(
        tenant=table.tenant, name="gone", kind="kafka", addresses="127.0.0.1:1"
    )
    pk = on.pk
    removal.delete(on, "gone", with_rows=False)
    measure_connection(pk)
    consume_slice(pk)


@pytest.mark.django_db(transaction=True)
def test_a_source_that_goes_while_it_is_measured_fails_no_other(
    table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone, kept = (
        Source.objects.create(tenant=table.tenant, name=name, table=table)
        for name in ("gone", "kept")
    )
    marks = {pk: {0: discovery.Watermarks(0, 5)} for pk in (gone.pk, kept.pk)}
    removal.delete(gone, "gone", with_rows=False)
    assert set(discovery._store(marks)) == {kept.pk}
    discovery._begin({gone.pk: {}, kept.pk: {}})
    with pytest.raises(Problem) as refused:
        accept(gone, [b"{}"])
    assert refused.value.status_code == 404


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_sources_that_are_measured_all_the_time_are_deleted_without_a_deadlock(
    table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = [
        Source.objects.create(tenant=table.tenant, name=f"s{number}", table=table)
        for number in range(20)
    ]
    # The last source has the first partition.
    marks = {one.pk: {0: discovery.Watermarks(0, 5)} for one in reversed(made)}
    discovery._store(marks)
    over, errors, retries = threading.Event(), list[Exception](), list[int]()

    def measured() -> None:
        try:
            while not over.is_set():
                discovery._store(marks)
        except Exception as error:  # noqa: BLE001 - the test tells of it
            errors.append(error)
        finally:
            database.close()

    monkeypatch.setattr(removal, "_record", lambda *_, **__: retries.append(1))
    threads = [threading.Thread(target=measured) for _ in range(2)]
    for one in threads:
        one.start()
    try:
        for one in made:
            removal.delete(one, one.name, with_rows=False)
    finally:
        over.set()
        for one in threads:
            one.join()
    assert errors == []
    assert len(retries) == len(made)
    assert not Source.objects.exists()


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_a_deadlock_is_tried_again(http: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    left, record = [1, 2], removal._record

    def late(*given: Any, **options: Any) -> None:
        if left:
            left.pop()
            raise OperationalError("deadlock detected")
        record(*given, **options)

    monkeypatch.setattr(removal, "_record", late)
    removal.delete(http, "http", with_rows=False)
    assert not Source.objects.exists()
    assert AuditEntry.objects.filter(action="source.delete").count() == 1


# --- The archive --------------------------------------------------------------------------------


@pytest.mark.slow
def test_an_archived_source_keeps_its_rows_and_is_read_no_more(http: Source) -> None:
    told = removal.archive_preview(http.table)
    assert told.sources == (http,)
    assert not Source.objects.get().is_archived
    assert removal.archive(http.table) == told
    assert removal.archive(http.table).sources == ()
    http.refresh_from_db()
    assert http.is_archived
    accept(http, [b'{"n": 4}'])
    consume(http, 0.5)
    assert numbers(http.table) == [1, 2, 3]
    with pytest.raises(sources.Archived, match="Restore it first"):
        sources.resume(http)
    sources.pause(http)
    http.refresh_from_db()
    assert http.paused_reason.startswith("It is archived")
    sources.restore(http)
    assert not Source.objects.get().active
    sources.resume(http)
    consume(http)
    assert numbers(http.table) == [1, 2, 3, 4]


def test_who_resumes_or_pauses_what_another_has_archived_takes_nothing_out(http: Source) -> None:
    stale, another = (Source.objects.get(pk=http.pk) for _ in range(2))
    sources.archive(http)
    with pytest.raises(sources.Archived):
        sources.resume(stale)
    sources.pause(another, "It is moved.")
    stands = Source.objects.get(pk=http.pk)
    assert (stands.is_archived, stands.active) == (True, False)
    assert stands.paused_reason.startswith("It is archived")


def test_an_archived_source_can_be_deleted(http: Source) -> None:
    removal.archive(http)
    http.refresh_from_db()
    removal.delete(http, "http", with_rows=True)
    assert not Source.objects.exists()
