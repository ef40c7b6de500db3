"""Suspend, resume, export, erase, delete, each on real stores."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.models import User
from django.contrib.contenttypes.models import ContentType
from django.core.cache import cache
from django.core.management import CommandError, call_command
from django.test import Client, override_settings

from analytics_api.models import SavedQuery
from analytics_api.services.saved_queries import publish
from ingestion.connectors.metadata_json import written
from ingestion.consume.loop import Slice
from ingestion.models import Connection, Source, SpooledEvents, StreamPartition, Table
from ingestion.services import sources
from ingestion.services.events import accept
from ingestion.tasks.consume import connections_with_work
from tenants.errors import LifecycleError, TenantNotConfirmed, TenantRefused
from tenants.lifecycle import delete, erase, tenant_export
from tenants.models import APIKey, Membership, Tenant, TenantStatus, Warehouse
from tenants.rest import authentication
from tenants.services import keys, tenants
from tenants.warehouse import client
from tenants.warehouse.errors import WarehouseError

COLUMNS = [{"name": "who", "type": "String"}]
SECRET = "canary-secret-8723"


@pytest.fixture
def rollups(table: Table) -> str:
    """One with the person in it, one without, one of states; returns the database."""
    db = table.tenant.warehouse.database
    made = {
        "by_who": ("who String, total UInt64", "SummingMergeTree", "who"),
        "totals": ("k UInt8, total UInt64", "SummingMergeTree", "k"),
        "states": ("k UInt8, who AggregateFunction(uniq, String)", "AggregatingMergeTree", "k"),
    }
    selects = {
        "by_who": f"SELECT who, sum(n) AS total FROM {db}.events GROUP BY who",
        "totals": f"SELECT 0 AS k, sum(n) AS total FROM {db}.events",
        "states": f"SELECT 0 AS k, uniqState(who) AS who FROM {db}.events",
    }
    for name, (columns, engine, key) in made.items():
        table_sql = f"CREATE TABLE {db}.{name} ({columns}) ENGINE = {engine} ORDER BY {key}"
        view = f"CREATE MATERIALIZED VIEW {db}.{name}_mv TO {db}.{name} AS {selects[name]}"
        client.execute([table_sql, view])
    return db


def rows(database: str, name: str) -> int:
    return int(client.rows(f"SELECT count() AS n FROM {database}.`{name}`")[0]["n"])


# --- Suspend and resume -------------------------------------------------------------------------


def test_a_suspended_tenant_is_not_consumed_and_its_callers_get_403(
    events: list[bytes], source: Source, django_capture_on_commit_callbacks: Any
) -> None:
    tenant = source.tenant
    _, key = keys.create_key(tenant, "k")
    headers = {"Authorization": f"Bearer {key}"}
    accept(source, [b'{"user": {"id": "eve"}, "n": 9}'])
    assert None in connections_with_work()
    assert tenants.suspend(tenant) is True
    assert tenants.suspend(tenant) is False
    authentication.forget()
    assert None not in connections_with_work()
    Slice(None, seconds=0.3).run()
    assert StreamPartition.objects.get(source=source).landed == 3
    for answer in (
        Client().get("/api/v1/queries", headers=headers),
        Client().post("/api/v1/events/events", events[0], "application/json", headers=headers),
    ):
        assert (answer.status_code, answer.json()["code"]) == (403, "tenant_suspended")
    assert rows(tenant.warehouse.database, "events") == 3


def test_a_slice_under_way_lets_go_of_a_suspended_tenant(
    events: list[bytes], source: Source
) -> None:
    from ingestion.leases import lease

    accept(source, [events[0]])
    taken = lease.take(None, "me:1:x", 10)
    assert taken
    assert lease.renew("me:1:x", [one.partition_id for one in taken])
    tenants.suspend(source.tenant)
    assert lease.renew("me:1:x", [one.partition_id for one in taken]) == set()


@pytest.mark.slow
def test_resuming_restores_what_ran_and_leaves_paused_what_was_paused(source: Source) -> None:
    other = Source.objects.create(tenant=source.tenant, name="other", table=source.table)
    sources.pause(other)
    tenants.suspend(source.tenant)
    assert tenants.resume(source.tenant) is True
    assert set(Source.objects.values_list("name", "active")) == {("events", True), ("other", False)}
    accept(source, [b'{"user": {"id": "eve"}, "n": 9}'])
    Slice(None, seconds=1.0).run()
    assert StreamPartition.objects.get(source=source).landed == 4


# --- Export -------------------------------------------------------------------------------------


def fill(tenant: Tenant) -> None:
    Connection.objects.create(
        tenant=tenant, name="c", kind="kafka", addresses="b:1", username="u", password=SECRET
    )
    query = SavedQuery.objects.create(tenant=tenant, name="q", sql="SELECT n FROM events")
    publish(query)
    Membership.objects.create(tenant=tenant, user=User.objects.create_user("member"), role="owner")


@pytest.mark.slow
def test_an_export_has_every_row_every_definition_and_no_secret(
    events: list[bytes], source: Source, rollups: str, tmp_path: Path
) -> None:
    tenant = source.tenant
    fill(tenant)
    row, key = keys.create_key(tenant, "k")
    accept(source, [events[2]])
    Slice(None, seconds=1.0).run()
    folder, _ = tenant_export.export(tenant, tmp_path / "out")
    told = json.loads((folder / "manifest.json").read_text())
    assert {one["path"]: one["rows"] for one in told["files"]} == {
        "audit.ndjson": len((folder / "audit.ndjson").read_text().splitlines()),
        "definitions.yaml": None,
        "keys.ndjson": 1,
        "members.ndjson": 1,
        "tables/events.parquet": 4,
        "tables/events__quarantine.parquet": 2,
        "tables/by_who.parquet": 1,
        "tables/states.parquet": 1,
        "tables/totals.parquet": 1,
    }
    exported = pq.read_table(folder / "tables/events.parquet")
    assert sorted(exported["n"].to_pylist()) == [1, 2, 3, 3]
    raw = pq.read_table(folder / "tables/events__quarantine.parquet")["raw"].to_pylist()
    assert sorted(str(one) for one in raw) == sorted(one.decode() for one in events[3:])
    assert "name: events" in (folder / "definitions.yaml").read_text()
    assert tenant_export.verify(folder) == []
    secrets = (SECRET, key, key.split("_")[2], tenant.warehouse.password, row.sha256.hex())
    for file in folder.rglob("*"):
        text = file.read_bytes() if file.is_file() else b""
        assert [one for one in secrets if one.encode() in text] == [], file
    (folder / "keys.ndjson").write_text("{}")
    assert tenant_export.verify(folder) == ["keys.ndjson has changed: its SHA-256 differs."]


@pytest.mark.slow
def test_an_export_that_was_killed_begins_anew_and_never_overwrites(
    source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "out"
    with monkeypatch.context() as patched:
        patched.setattr(
            tenant_export, "_table", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt)
        )
        with pytest.raises(KeyboardInterrupt):
            tenant_export.export(source.tenant, target)
    assert not target.exists()
    assert (tmp_path / "out.partial").exists()
    tenant_export.export(source.tenant, target)
    assert [one.name for one in tmp_path.iterdir()] == ["out"]
    with pytest.raises(TenantRefused, match="already exists"):
        tenant_export.export(source.tenant, target)


# --- Erase --------------------------------------------------------------------------------------


@pytest.mark.slow
def test_one_persons_rows_go_from_table_quarantine_and_rollups(
    events: list[bytes], source: Source, rollups: str
) -> None:
    tenant = source.tenant
    accept(source, events)
    Slice(None, seconds=1.0).run()
    before = erase.erase(tenant, "who", "ann")
    counted = {one.table: (one.before, one.after) for one in before.places}
    assert counted == {
        "events": (4, 4),
        "events__quarantine": (2, 2),
        "by_who": (1, 1),
        "states": (None, None),
        "totals": (None, None),
    }
    assert not before.erased
    assert rows(rollups, "events") == 6
    done = erase.erase(tenant, "who", "ann", preview=False)
    assert {one.table: (one.before, one.after) for one in done.places} == counted | {
        "events": (4, 0),
        "events__quarantine": (2, 0),
        "by_who": (1, 0),
    }
    assert done.rows == 7
    (totals,) = [one for one in done.places if one.table == "totals"]
    assert "INSERT INTO" in totals.advice
    assert "TRUNCATE" in totals.advice
    left = client.rows(f"SELECT DISTINCT who FROM {rollups}.events")
    assert [one["who"] for one in left] == ["bob"]
    assert rows(rollups, "events__quarantine") == 2
    again = erase.erase(tenant, "who", "ann", preview=False)
    assert again.rows == 0


def test_in_quarantine_a_number_is_found_however_it_was_written(
    tenant_factory: Callable[..., Tenant], table_factory: Callable[..., Table]
) -> None:
    columns = [{"name": "who", "type": "UInt64"}, {"name": "n", "type": "UInt8"}]
    table = table_factory(tenant_factory("life"), columns)
    source = Source.objects.create(tenant=table.tenant, name="events", table=table)
    bad = [b'{"who": 42, "n": -1}', b'{"who": "42", "n": 1}', b'{"who": 42.0, "n": "x"}']
    others = [b'{"who": 421, "n": -1}', b'{"who": "4", "n": 1}', b'{"n": 42, "who": null}']
    accept(source, bad + others)
    Slice(None, seconds=1.0).run()
    report = erase.erase(table.tenant, "who", "42", preview=False)
    assert [(one.before, one.after) for one in report.places] == [(0, 0), (3, 0)]
    assert rows(table.tenant.warehouse.database, "events__quarantine") == 3


def test_a_person_whom_a_header_names_is_found_in_table_and_quarantine(
    tenant_factory: Callable[..., Tenant], table_factory: Callable[..., Table]
) -> None:
    columns = [{"name": "who", "type": "UInt64", "metadata": "header:user"}]
    table = table_factory(tenant_factory("life"), [*columns, {"name": "n", "type": "UInt8"}])
    source = Source.objects.create(tenant=table.tenant, name="events", table=table)
    for who in ("42", "7"):
        headers = written({"header:user": who}).decode()
        accept(source, [b'{"n": 1}', b'{"n": -1, "who": 42}'], headers=headers)
    Slice(None, seconds=1.0).run()
    report = erase.erase(table.tenant, "who", "42", preview=False)
    assert [(one.before, one.after) for one in report.places] == [(1, 0), (1, 0)]
    assert rows(table.tenant.warehouse.database, "events__quarantine") == 1


def test_a_computed_column_finds_rows_and_says_that_the_quarantine_stays(
    tenant_factory: Callable[..., Tenant], table_factory: Callable[..., Table]
) -> None:
    columns = [
        {"name": "email", "type": "String"},
        {"name": "who", "type": "String", "required": False, "expression": "lower(email)"},
        {"name": "n", "type": "UInt8"},
    ]
    table = table_factory(tenant_factory("life"), columns)
    source = Source.objects.create(tenant=table.tenant, name="events", table=table)
    accept(source, [b'{"email": "Ann", "n": 1}', b'{"email": "Ann", "n": -1}'])
    Slice(None, seconds=1.0).run()
    own, quarantine = erase.erase(table.tenant, "who", "ann", preview=False).places
    assert (own.before, own.after) == (1, 0)
    assert "who is computed" in quarantine.advice


@pytest.mark.parametrize(
    ("column", "value", "says"),
    [
        ("nobody", "1", "has no column 'nobody'"),
        ("who", "", "An empty value"),
        ("n", "many", "not a value of n"),
        ("n) OR (1=1", "1", "has no column"),
    ],
)
def test_what_can_not_tell_whose_rows_they_are_is_refused(
    column: str, value: str, says: str, source: Source
) -> None:
    with pytest.raises(TenantRefused, match=says.replace("(", r"\(").replace(")", r"\)")):
        erase.erase(source.tenant, column, value, preview=False)
    assert rows(source.tenant.warehouse.database, "events") == 3


@pytest.mark.parametrize("value", ["' OR 1=1 --", "\\' OR 1=1 --", "{value:String}", "a\0b"])
def test_a_value_is_a_value_and_never_sql(value: str, source: Source) -> None:
    report = erase.erase(source.tenant, "who", value, preview=False)
    assert report.rows == 0
    assert rows(source.tenant.warehouse.database, "events") == 3


# --- Delete -------------------------------------------------------------------------------------


def test_a_deletion_needs_the_slug_typed(source: Source) -> None:
    for typed in ("", "yes", source.tenant.slug.upper()):
        with pytest.raises(TenantNotConfirmed):
            delete.delete(source.tenant.slug, typed)
    assert Tenant.objects.get().status == TenantStatus.ACTIVE


@pytest.mark.django_db(transaction=True)
def test_a_deleted_tenant_is_in_no_store_and_its_neighbour_is_untouched(
    events: list[bytes],
    source: Source,
    tenant_factory: Callable[..., Tenant],
    table_factory: Callable[..., Table],
    valkey: str,
) -> None:
    tenant, user = source.tenant, User.objects.create_superuser("operator")
    fill(tenant)
    keys.create_key(tenant, "k")
    accept(source, [events[0]])
    neighbour = table_factory(tenant_factory("next"), COLUMNS)
    beside = Source.objects.create(tenant=neighbour.tenant, name="events", table=neighbour)
    accept(beside, [events[0]])
    for one in (source, beside):
        kind = ContentType.objects.get_for_model(one)
        LogEntry.objects.create(
            user=user,
            content_type=kind,
            object_id=str(one.pk),
            object_repr=str(one),
            action_flag=CHANGE,
        )
    cache.set(f"t:{tenant.pk}:x", 1)
    cache.set(f"t:{neighbour.tenant.pk}:x", 1)
    pk, slug, database = tenant.pk, tenant.slug, tenant.warehouse.database
    seen = {one.store: one.before for one in delete.preview(slug).stores}
    assert seen["Ingestion"]["events that wait"] == 1
    assert seen["ClickHouse"]["rows of events"] == 3
    report = delete.delete(slug, slug)
    assert report.done
    by_store = {one.store: one for one in report.stores}
    assert by_store["ClickHouse"].before["rows of events"] == 3
    assert by_store["ClickHouse"].after == {"tables and views": 0, "databases": 0, "users": 0}
    assert by_store["Cache"].before["keys"] == 1
    assert by_store["Postgres"].before["ingestion_source"] == 1
    assert not any(by_store["Postgres"].after.values())
    assert not Tenant.objects.filter(pk=pk).exists()
    assert not APIKey.objects.filter(tenant_id=pk).exists()
    assert not Warehouse.objects.filter(tenant_id=pk).exists()
    assert [one.object_repr for one in LogEntry.objects.all()] == [str(beside)]
    assert not client.rows(f"SELECT 1 FROM system.databases WHERE name = '{database}'")
    assert cache.get(f"t:{neighbour.tenant.pk}:x") == 1
    assert SpooledEvents.objects.get().partition.source == beside
    again = delete.delete(slug, slug)
    assert again.done
    assert not any(n for one in again.stores for n in one.before.values())


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_a_deletion_that_stopped_in_the_middle_is_finished_by_the_next(
    source: Source, monkeypatch: pytest.MonkeyPatch, valkey: str
) -> None:
    from tenants.lifecycle.postgres_rows import PostgresRows
    from tenants.tasks import provision_warehouse

    slug, database = source.tenant.slug, source.tenant.warehouse.database
    with monkeypatch.context() as patched:
        patched.setattr(PostgresRows, "remove", lambda *_: (_ for _ in ()).throw(SystemExit))
        with pytest.raises(SystemExit):
            delete.delete(slug, slug)
    tenant = Tenant.objects.get(slug=slug)
    assert tenant.status == TenantStatus.DELETING
    assert connections_with_work() == []
    with pytest.raises(LifecycleError, match="being deleted"):
        tenants.resume(tenant)
    tenant.warehouse.request()
    provision_warehouse(tenant.warehouse.pk)
    assert not client.rows(f"SELECT 1 FROM system.databases WHERE name = '{database}'")
    assert delete.delete(slug, slug).done
    assert not Tenant.objects.exists()


@pytest.mark.slow
def test_while_the_engine_is_away_nothing_is_said_to_be_gone(source: Source, valkey: str) -> None:
    slug = source.tenant.slug
    with override_settings(CLICKHOUSE_URL="http://a:b@127.0.0.1:9/"):
        client.forget()
        with pytest.raises(WarehouseError):
            delete.delete(slug, slug)
    client.forget()
    assert Tenant.objects.get().status == TenantStatus.DELETING
    assert APIKey.objects.count() == 0
    assert rows(f"t_{slug}", "events") == 3
    assert delete.delete(slug, slug).done
    assert not Tenant.objects.exists()


# --- The command --------------------------------------------------------------------------------


def test_the_command_creates_limits_suspends_resumes_and_refuses(
    db: None, unique: Callable[[str], str], capsys: pytest.CaptureFixture[str]
) -> None:
    slug = unique("made")
    call_command("tenant", "create", slug, "--name", "Made", "--weight", "3")
    assert Tenant.objects.get().weight == 3
    call_command("tenant", "limit", slug, "--weight", "5")
    call_command("tenant", "suspend", slug)
    assert (Tenant.objects.get().weight, Tenant.objects.get().status) == (5, "suspended")
    call_command("tenant", "suspend", slug)
    call_command("tenant", "resume", slug)
    call_command("tenant", "list")
    out = capsys.readouterr().out
    assert f"{slug} was created." in out
    assert f"{slug} was suspended." in out
    assert "was already suspended" in out
    assert f"{slug} was resumed." in out
    assert f"{slug}\tActive\tweight 5\tMade" in out
    again, refused = (("create", slug), ("make", slug)), ("limit", slug, "--weight", "0")
    for wrong in (*again, ("create", "No Slug"), refused):
        with pytest.raises(CommandError):
            call_command("tenant", *wrong)
    with pytest.raises(CommandError, match=f"Tenants: {slug}"):
        call_command("tenant", "suspend", "stranger")
    call_command("tenant", "make", unique("former"))
    assert Tenant.objects.count() == 2, "the former name of create"


def test_the_command_shows_before_it_erases_or_deletes(
    source: Source, capsys: pytest.CaptureFixture[str], tmp_path: Path, valkey: str
) -> None:
    slug = source.tenant.slug
    call_command("tenant", "export", slug, "--to", str(tmp_path / "out"))
    call_command("tenant", "erase", slug, "--column", "who", "--value", "ann")
    call_command("tenant", "delete", slug)
    out = capsys.readouterr().out
    assert "tables/events.parquet: 3 rows" in out
    assert "3 rows would be erased" in out
    assert "Nothing was deleted" in out
    assert rows(source.tenant.warehouse.database, "events") == 3
    call_command("tenant", "erase", slug, "--column", "who", "--value", "ann", "--yes")
    assert "3 rows were erased" in capsys.readouterr().out
    with pytest.raises(CommandError, match="type its slug"):
        call_command("tenant", "delete", slug, "--confirm", "other")
