"""Messages leave the quarantine for the table, or for good: once, whatever dies on the way."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from django.core.management import CommandError, call_command
from django.db import connection as database
from django.utils import timezone

from ingestion.consume.loop import Slice
from ingestion.landing import direct_insert, lookups
from ingestion.landing.addresses import place_of
from ingestion.ledger.locate import by_id, by_offset
from ingestion.models import (
    Batch,
    BatchState,
    QuarantineChunk,
    QuarantineDeparture,
    QuarantineRun,
    RunState,
    Source,
    Table,
)
from ingestion.provision import provision_table
from ingestion.quarantine import download, dry_run, messages, repair, replay
from ingestion.services import quarantine_runs as service
from ingestion.services import tables
from ingestion.services.events import accept
from ingestion.services.resets import ResetTarget, Where, reset
from tenants.models import AuditEntry
from tenants.warehouse import client
from tests.ingestion.mending import UNQUOTE, finish, land
from tests.ingestion.running import Crash, balance, consume_until, misfits, numbers

ORIGIN = "_source, _partition, _offset, _timestamp, _message_id, _batch, _ingested_at"


@pytest.fixture
def source(table: Table) -> Source:
    """Of six messages, one fits, and three more do without their quotes."""
    events = [b'{"n": 1}', *(b'{"n": "%d"}' % n for n in (5, 6, 7)), b'{"n": -1}', b'{"s": "x"}']
    return land(table, events)


def settled(source: Source) -> bool:
    """Whether all batches of the source are settled."""
    return not Batch.objects.filter(partition__source=source).exclude(state="settled").exists()


def origins(table: Table) -> list[dict[str, Any]]:
    where = place_of(table)
    sql = f"SELECT {ORIGIN} FROM {{}} ORDER BY _offset"
    return [
        *client.rows(sql.format(where.table)), *client.rows(sql.format(where.quarantine))
    ]  # fmt: skip


def by_place(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(rows, key=lambda row: row["_offset"])


def test_a_dry_run_says_what_would_fit_and_why_the_rest_would_not(source: Source) -> None:
    before = origins(source.table)
    found = dry_run.dry_run(service.selected(source.table), UNQUOTE)
    assert (found.selected, found.tried, found.fit, found.unfit) == (5, 5, 3, 2)
    assert found.example is not None
    assert found.example.sent == '{"n": "5"}'
    assert found.example.repaired == '{"n": 5}'
    assert {(group.column, group.messages) for group in found.groups} == {("n", 1)}
    assert len({group.reason for group in found.groups}) == 2
    assert {group.example.sent for group in found.groups} == {'{"n": -1}', '{"s": "x"}'}
    assert origins(source.table) == before


def test_a_replay_keeps_the_identity_and_the_books_balance(source: Source) -> None:
    table, before = source.table, by_place(origins(source.table))
    made = finish(service.replay(service.selected(table), UNQUOTE))
    assert (made.state, made.total, made.moved, made.unfit) == ("done", 5, 3, 2), made.error
    assert numbers(table) == [1, 5, 6, 7]
    assert [row["raw"] for row in misfits(table)] == ['{"n": -1}', '{"s": "x"}']
    assert by_place(origins(table)) == before
    (audited,) = balance(source)
    assert (audited.received, audited.inserted, audited.quarantined) == (6, 4, 2)
    assert (audited.replayed, audited.discarded) == (3, 0)
    assert any("Replayed" in note for note in by_offset(source, 0, 1).notes)
    assert AuditEntry.objects.filter(action="quarantine.replay").exists()


def test_a_replay_after_a_change_of_the_table_types_by_its_new_version(source: Source) -> None:
    table = source.table
    table.columns.filter(name="n").update(quoted_numbers=True)
    tables.request_table(table)
    provision_table(table)
    table.refresh_from_db()
    assert finish(service.replay(service.selected(table))).moved == 3
    assert numbers(table) == [1, 5, 6, 7]
    balance(source)


def test_metadata_is_replayed_and_computed_columns_are_computed(table: Table) -> None:
    """The quarantine keeps the metadata beside the message, for the columns that read it."""
    table.columns.create(name="trace", type="String", metadata="header:trace-id", position=1)
    table.columns.create(name="twice", type="UInt64", expression="n * 2", position=2)
    tables.request_table(table)
    provision_table(table)
    table.refresh_from_db()
    source = Source.objects.create(tenant=table.tenant, name="first", table=table)
    accept(source, [b'{"n": "5"}', b'{"n": "x"}'], headers='{"header:trace-id": "abc"}')
    accept(source, [b'{"n": "7"}'])
    Slice(None, seconds=2).run()
    selection = service.selected(table)
    (line, *_) = b"".join(download.lines(selection)).splitlines()
    assert json.loads(json.loads(line)["metadata"]) == {"header:trace-id": "abc"}
    found = dry_run.dry_run(selection, UNQUOTE)
    assert (found.fit, {group.column for group in found.groups}) == (1, {"n", "trace"})
    assert finish(service.replay(selection, UNQUOTE)).moved == 1
    sql = f"SELECT n, trace, twice FROM {place_of(table).table}"
    assert client.rows(sql) == [{"n": 5, "trace": "abc", "twice": 10}]
    assert [row["raw"] for row in misfits(table)] == ['{"n": "x"}', '{"n": "7"}']
    balance(source)


def test_only_the_selected_messages_are_replayed(source: Source) -> None:
    table = source.table
    other = land(table, [b'{"n": "9"}'], "second")
    finish(service.replay(service.selected(table, source=other), UNQUOTE))
    assert numbers(table) == [1, 9]
    with pytest.raises(service.RunRefused, match="No message"):
        service.replay(service.selected(table, reason="nothing"), UNQUOTE)
    balance(source)
    balance(other)


def test_discarded_messages_are_counted_and_found(source: Source) -> None:
    table = source.table
    with pytest.raises(service.RunRefused, match="why"):
        service.discard(service.selected(table), " ")
    made = finish(service.discard(service.selected(table), "test data"))
    assert (made.state, made.moved) == ("done", 5)
    assert misfits(table) == []
    assert numbers(table) == [1]
    (audited,) = balance(source)
    assert (audited.received, audited.quarantined, audited.discarded) == (6, 0, 5)
    assert any("test data" in note for note in by_offset(source, 0, 1).notes)


def test_messages_of_a_batch_that_is_not_settled_stay(source: Source) -> None:
    Batch.objects.filter(partition__source=source).update(state=BatchState.DONE)
    made = finish(service.replay(service.selected(source.table), UNQUOTE))
    assert (made.moved, made.unfit, made.skipped) == (0, 0, 5)
    assert len(misfits(source.table)) == 5


STEPS = {
    "before the intent": (replay._Step, "_announce", False),
    "after the intent": (replay._Step, "_announce", True),
    "before the insert": (direct_insert, "land_replayed", False),
    "after the insert": (direct_insert, "land_replayed", True),
    "before counting": (replay._Step, "_count", False),
    "after counting": (replay._Step, "_count", True),
    "before deleting": (replay, "delete_rows", False),
    "after deleting": (replay, "delete_rows", True),
}


@pytest.mark.parametrize("action", ["replay", "discard"])
@pytest.mark.parametrize("when", STEPS)
@pytest.mark.slow
def test_a_worker_that_dies_at_any_step_loses_and_doubles_nothing(
    source: Source, monkeypatch: pytest.MonkeyPatch, when: str, action: str
) -> None:
    table, (where, name, after) = source.table, STEPS[when]
    made = (
        service.replay(service.selected(table), UNQUOTE)
        if action == "replay"
        else service.discard(service.selected(table), "test")
    )
    with monkeypatch.context() as patched:
        real = getattr(where, name)

        def dies(*arguments: Any, **options: Any) -> None:
            if after:
                real(*arguments, **options)
            raise Crash

        patched.setattr(where, name, dies)
        if action == "replay" or name != "land_replayed":
            with pytest.raises(Crash):
                service.work(made.pk)
            balance(source)
    finish(made)
    (audited,) = balance(source)
    expected = (3, 0) if action == "replay" else (0, 5)
    assert (audited.replayed, audited.discarded) == expected
    assert numbers(table) == ([1, 5, 6, 7] if action == "replay" else [1])
    assert len(misfits(table)) == (2 if action == "replay" else 0)
    assert (made.state, made.moved) == (RunState.DONE, sum(expected))
    assert not QuarantineChunk.objects.filter(done_at=None).exists()
    total = sum(len(row.offsets) for row in QuarantineDeparture.objects.all())
    assert total == made.moved


def test_a_cancelled_run_stops_after_its_chunk_and_can_be_resumed(
    source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(messages, "CHUNK_ROWS", 1)
    monkeypatch.setattr(messages.next_chunk, "__defaults__", ("", 1))
    made = service.replay(service.selected(source.table), UNQUOTE)
    assert service.work(made.pk)
    service.cancel(made)
    assert finish(made).moved == 1
    with pytest.raises(service.RunRefused):
        service.cancel(made)
    service.resume(made)
    assert (finish(made).state, made.moved, made.unfit) == ("done", 3, 2)
    balance(source)


def test_a_repair_that_fails_on_a_message_says_so_and_moves_nothing(source: Source) -> None:
    bad = "toString(toUInt8(JSONExtractString(raw, 'n')))"
    made = finish(service.replay(service.selected(source.table), bad))
    assert made.state == RunState.FAILED
    assert "The repair failed" in made.error
    assert "UInt8" in made.error
    assert made.error.endswith(
        "Let it give NULL for messages that it can't mend: they stay in quarantine."
    )
    assert not any(internal in made.error for internal in ("SELECT", "__table", "while executing"))
    assert len(misfits(source.table)) == 5


def test_rollups_have_a_replayed_row_once(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    table, at = source.table, place_of(source.table).table
    place = f"{table.tenant.warehouse.database}.rollup"
    summing = "ENGINE = SummingMergeTree ORDER BY n SETTINGS non_replicated_deduplication_window"
    client.execute(
        [
            f"CREATE TABLE {place} (n UInt32, c UInt64) {summing} = 100",
            f"CREATE MATERIALIZED VIEW {place}_view TO {place} AS SELECT n, 1 AS c FROM {at}",
        ]
    )
    made = service.replay(service.selected(table), UNQUOTE)
    with monkeypatch.context() as patched:
        real = direct_insert.land_replayed

        def dies(*arguments: Any) -> None:
            real(*arguments)
            raise Crash

        patched.setattr(direct_insert, "land_replayed", dies)
        with pytest.raises(Crash):
            service.work(made.pk)
    finish(made)
    rows = client.rows(f"SELECT n, sum(c) AS c FROM {place} GROUP BY n ORDER BY n")
    assert rows == [{"n": n, "c": 1} for n in (5, 6, 7)]


@pytest.mark.parametrize(
    "expression",
    [
        "(SELECT 1)",
        "raw FROM system.tables",
        "raw, 1",
        "raw AS x",
        "_source",
        "now()",
        "toString(rand())",
        "dictGet('a', 'b', 1)",
        "file('/etc/passwd')",
        "arrayStringConcat(arrayMap(x -> repeat(x, 9), [raw]))",
        "sum(raw) OVER ()",
        "raw SETTINGS max_threads = 1",
        "{p:String}",
        "hostName()",
        "raw; DROP TABLE x",
        "raw) FROM (SELECT 1 AS raw",
        "*",
        "length(raw)",
        "CAST(raw, 'AggregateFunction(sum, UInt8)')",
        "getSetting('x')",
        "raw IN (SELECT name FROM system.databases)",
        "raw /* x",
        "toString(currentUser())",
        "x" * 10_001,
        "raw\0",
    ],
)
def test_an_expression_that_could_see_more_than_its_message_is_refused(
    clickhouse_server: str, expression: str
) -> None:
    with pytest.raises(repair.RepairRefused) as refused:
        repair.checked(expression)
    assert "system" not in str(refused.value) or "FROM" not in str(refused.value)


@pytest.mark.parametrize(
    "expression",
    [
        UNQUOTE,
        "raw",
        "if(isValidJSON(raw), raw, NULL)",
        "toJSONString(map('n', toUInt32OrZero(JSONExtractString(raw, 'n'))))",
        "concat('{', arrayStringConcat(arrayMap(p -> p.1 || p.2, [('a', 'b')])), '}')",
        "CASE WHEN raw LIKE '[%' THEN '{}' ELSE raw END",
        "raw -- the message as it is",
        "JSONMergePatch(raw, '{\"n\": 1}')",
    ],
)
def test_functions_of_the_message_alone_are_allowed(
    clickhouse_server: str, expression: str
) -> None:
    assert repair.checked(expression)
    assert "--" not in repair.checked(expression)


def test_bytes_that_are_not_utf8_are_repaired_too(table: Table) -> None:
    land(table, [b'{"n": 1}'])
    at, source = place_of(table).quarantine, Source.objects.get()
    raw = "unhex('FF7B226E223A20337DFE')"
    insert = (
        f"INSERT INTO {at} (_source, _partition, _offset, _batch, reason, raw) "
        f"SELECT {source.pk}, 0, 77, generateUUIDv4(), 'not_an_object', {raw}"
    )
    client.execute([insert])
    fixed = "substring(raw, 2, length(raw) - 2)"
    assert finish(service.replay(service.selected(table), fixed)).moved == 1
    assert numbers(table) == [1, 3]


def say(*arguments: str) -> str:
    out = io.StringIO()
    call_command("quarantine", *arguments, stdout=out)
    return out.getvalue()


def test_the_command_tries_replays_discards_and_lists(source: Source) -> None:
    name = str(source.table)
    said = say(name, "--dry-run", "--repair", UNQUOTE)
    assert "3 of 5 messages would fit version" in said
    assert '{"n": -1}' in said
    assert json.loads(say(name, "--dry-run", "--json"))["fit"] == 0
    assert "Done: 3 of 5 replayed, 2 still do not fit." in say(
        name, "--replay", "--repair", UNQUOTE
    )
    assert say(name, "--show", "1").count("\n") == 1
    assert "Done: 2 of 2 discarded" in say(name, "--discard", "not ours")
    listed = say(name, "--runs").splitlines()
    assert len(listed) == 2
    with pytest.raises(CommandError, match="ended already"):
        say(name, "--cancel", listed[0].split()[0])
    with pytest.raises(CommandError, match="has no run 0"):
        say(name, "--resume", "0")
    with pytest.raises(CommandError, match="now is not allowed"):
        say(name, "--replay", "--repair", "toString(now())")
    assert numbers(source.table) == [1, 5, 6, 7]


def test_a_download_has_every_byte(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    table, at = source.table, place_of(source.table).quarantine
    raw = bytes(range(256))
    insert = (
        f"INSERT INTO {at} (_source, _partition, _offset, _batch, reason, raw) "
        f"SELECT {source.pk}, 0, 77, generateUUIDv4(), 'not_an_object', unhex('{raw.hex()}')"
    )
    client.execute([insert])
    monkeypatch.setattr(messages.page, "__defaults__", (2,))
    read = [json.loads(line) for line in say(str(table), "--download").splitlines()]
    assert [line["offset"] for line in read] == [1, 2, 3, 4, 5, 77]
    assert [line["raw"] for line in read[:2]] == ['{"n": "5"}', '{"n": "6"}']
    assert (read[0]["source"], read[0]["column"], read[0]["raw_base64"]) == ("first", "n", None)
    assert read[-1]["raw"] is None
    assert base64.b64decode(read[-1]["raw_base64"]) == raw


@pytest.mark.slow
def test_a_hundred_thousand_messages_mend_in_one_go(source: Source) -> None:
    table, at = source.table, place_of(source.table)
    insert = (
        f"INSERT INTO {at.quarantine} (_source, _partition, _offset, _batch, reason, raw) "
        f"SELECT {source.pk}, 0, 1000 + number, toUUID('61f0c404-5cb3-11e7-907b-a6006ad3dba0'),"
        " 'wrong_type', concat('{\"n\": \"', toString(number), '\"}') FROM numbers(100000)"
    )
    client.execute([insert])
    made = service.replay(service.selected(table, reason="wrong_type"), UNQUOTE)
    shares = []
    while service.work(made.pk):
        made.refresh_from_db()
        shares.append(made.percent)
    made.refresh_from_db()
    assert made.state == RunState.DONE, made.error
    assert made.moved >= 100_000
    assert shares == sorted(shares)
    assert len(set(shares)) > 5
    sql = f"SELECT count() AS c, uniqExact(_offset) AS u FROM {at.table} WHERE _offset >= 1000"
    assert client.rows(sql) == [{"c": 100_000, "u": 100_000}]


# --- At the same time ---------------------------------------------------------------------------


def test_two_overlapping_runs_move_each_message_once(source: Source) -> None:
    table = source.table
    first = service.replay(service.selected(table), UNQUOTE)
    second = service.replay(service.selected(table, column="n"), UNQUOTE)
    assert service.work(second.pk)
    finish(first)
    finish(second)
    assert (first.moved, second.moved) == (0, 3)
    assert numbers(table) == [1, 5, 6, 7]
    (audited,) = balance(source)
    assert audited.replayed == 3


def test_another_runs_open_chunk_is_finished_first(
    source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = source.table
    killed = service.replay(service.selected(table), UNQUOTE)
    with monkeypatch.context() as patched:
        patched.setattr(replay, "delete_rows", lambda *_: (_ for _ in ()).throw(Crash))
        with pytest.raises(Crash):
            service.work(killed.pk)
    service.cancel(killed)
    finish(service.discard(service.selected(table), "the rest"))
    killed.refresh_from_db()
    assert (killed.moved, numbers(table), misfits(table)) == (3, [1, 5, 6, 7], [])
    (audited,) = balance(source)
    assert (audited.replayed, audited.discarded) == (3, 2)


def test_a_chunk_goes_on_with_its_version_and_the_next_has_the_new_one(
    source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = source.table
    monkeypatch.setattr(messages.next_chunk, "__defaults__", ("", 1))
    made = service.replay(service.selected(table), "replaceOne(raw, '\"5\"', '5')")
    with monkeypatch.context() as patched:
        patched.setattr(direct_insert, "land_replayed", lambda *_: (_ for _ in ()).throw(Crash))
        with pytest.raises(Crash):
            service.work(made.pk)
    table.columns.filter(name="n").update(quoted_numbers=True)
    tables.request_table(table)
    provision_table(table)
    finish(made)
    assert (made.state, made.moved, made.unfit) == ("done", 3, 2), made.error
    assert numbers(table) == [1, 5, 6, 7]
    versions = QuarantineChunk.objects.order_by("pk").values_list("table_version", flat=True)
    assert list(versions) == [1, 2, 2]
    balance(source)


def test_a_change_of_the_table_that_waits_goes_first(source: Source) -> None:
    table = source.table
    made = service.replay(service.selected(table), UNQUOTE)
    table.columns.filter(name="n").update(quoted_numbers=True)
    tables.request_table(table)
    assert not service.work(made.pk)
    assert numbers(table) == [1]
    provision_table(table)
    assert finish(made).moved == 3
    assert set(QuarantineChunk.objects.values_list("table_version", flat=True)) == {2}


def test_a_run_is_queued_again_once_nobody_works_on_it(source: Source) -> None:
    made = service.replay(service.selected(source.table), UNQUOTE)
    assert replay.due() == []
    QuarantineRun.objects.update(worked_at=timezone.now() - replay.QUIET)
    assert replay.due() == [made.pk]
    finish(made)
    QuarantineRun.objects.update(worked_at=timezone.now() - replay.QUIET)
    assert replay.due() == []


def test_a_busy_table_is_left_to_its_worker(source: Source) -> None:
    made = service.replay(service.selected(source.table), UNQUOTE)
    key = f"table {source.table_id}"
    with psycopg.connect(**database.get_connection_params()) as other:  # type: ignore[arg-type]
        other.execute("SELECT pg_advisory_lock(hashtextextended(%s, 0))", [key])
        assert not service.work(made.pk)
    assert (finish(made).moved, made.error) == (3, "")


def test_a_redelivery_meanwhile_is_still_recognised(
    queue: Callable[..., Any], table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its message_id: before, while and after its first delivery moves into the table."""
    stream = queue()
    source = stream.source(table, name="orders")
    sent, ids = [b'{"n": "5"}', b'{"n": "6"}'], ["a", "b"]
    stream.send(sent, ids=ids)
    consume_until(source, lambda: len(misfits(table)) == 2)
    consume_until(source, lambda: settled(source))

    def is_known() -> bool:
        return lookups.known_ids(place_of(table), source.pk, [*ids, "new"]) == set(ids)

    made = service.replay(service.selected(table), UNQUOTE)
    assert is_known()
    with monkeypatch.context() as patched:
        patched.setattr(replay, "delete_rows", lambda *_: (_ for _ in ()).throw(Crash))
        with pytest.raises(Crash):
            service.work(made.pk)
    assert is_known()
    finish(made)
    assert is_known()
    assert (numbers(table), misfits(table)) == ([5, 6], [])
    found = by_id(source, "a")
    assert [row.is_misfit for row in found.rows] == [False]
    assert any("Replayed" in note for note in found.notes)


def test_a_kafka_range_that_is_read_again_inserts_nothing_twice(
    topic: Callable[..., Any], table: Table
) -> None:
    stream = topic()
    source = stream.source(table, name="orders")
    stream.send([b'{"n": 1}', b'{"n": "5"}', b'{"n": -1}'])
    consume_until(source, lambda: len(misfits(table)) == 2 and settled(source))
    finish(service.replay(service.selected(table), UNQUOTE))
    finish(service.discard(service.selected(table), "negative"))
    (audited,) = balance(source)
    assert audited.at_broker == 3
    reset(source, ResetTarget(Where.START))
    stream.send([b'{"n": 9}'])
    consume_until(source, lambda: 9 in numbers(table) and settled(source))
    assert numbers(table) == [1, 5, 9]
    assert [row["raw"] for row in misfits(table)] == ['{"n": -1}']
    balance(source)
