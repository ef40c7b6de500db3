"""Deleting and archiving by API and by command: previews, the name that is asked for, who may."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.test import Client

from analytics_api.models import SavedQuery
from analytics_api.services.saved_queries import publish
from ingestion.leases import lease
from ingestion.models import Connection, Source, StreamPartition, Table
from ingestion.services import holding, removal
from ingestion.services.events import accept
from tenants.models import AuditEntry, Tenant
from tenants.rights import Rights
from tenants.services.keys import create_key
from tenants.warehouse import client as warehouse
from tenants.warehouse.errors import WarehouseUnreachable
from tests.ingestion.running import consume, misfits, numbers

CHANGES = [
    "sources/http/archive",
    "sources/http/restore",
    "sources/http/delete",
    "tables/events/archive",
    "tables/events/delete",
    "connections/broker/archive",
    "connections/broker/delete",
]
DELETIONS = [one for one in CHANGES if one.endswith("/delete")]


@pytest.fixture
def source(table: Table) -> Source:
    """It has landed two rows and a misfit; beside it stands a connection with a source."""
    made = Source.objects.create(tenant=table.tenant, name="http", table=table)
    accept(made, [b'{"n": 1}', b'{"n": 2}', b'{"n": "x"}'])
    consume(made)
    assert numbers(table) == [1, 2]
    on = Connection.objects.create(
        tenant=table.tenant, name="broker", kind="kafka", addresses="127.0.0.1:1"
    )
    Source.objects.create(
        tenant=table.tenant, name="topic", connection=on, stream="t", table=table, active=False
    )
    return made


@pytest.fixture
def key(source: Source) -> str:
    return create_key(source.tenant, "operator", scopes=["manage"])[1]


def held(source: Source, **rights: Any) -> str:
    """A key with the scope and a restriction."""
    return create_key(source.tenant, "held", rights=Rights(("manage",), **rights))[1]


def post(key: str, address: str, body: Any = None) -> Any:
    return Client(raise_request_exception=False).post(
        f"/api/v1/{address}",
        body if isinstance(body, str) else json.dumps(body or {}),
        content_type="application/json",
        headers={"Authorization": f"Bearer {key}"},
    )


def stands() -> list[int]:
    """What is there of each kind, and how much is archived."""
    counts = [model.objects.count() for model in (Source, Table, Connection)]
    return [*counts, Source.objects.exclude(archived_at=None).count()]


ALL = [2, 1, 1, 0]


def command(*words: str) -> str:
    out = io.StringIO()
    call_command(*words, stdout=out)
    return out.getvalue()


# --- Deleting -----------------------------------------------------------------------------------


def test_a_preview_tells_what_goes_and_stays_and_changes_nothing(key: str, source: Source) -> None:
    answer = post(key, "sources/http/delete", {"preview": True})
    told = answer.json()
    assert (answer.status_code, told["done"], told["sources"]) == (200, False, ["http"])
    assert [one["count"] for one in told["rows"]] == [2, 1]
    assert {"batches", "stream partitions"} <= set(told["books"])
    assert "Its settings, its position" in told["goes"][0]
    assert any("audit log" in line for line in told["stays"])
    assert (told["failing_queries"], told["left"]) == ([], [])
    both = post(key, "tables/events/delete", {"preview": True}).json()
    assert both["sources"] == ["http", "topic"]
    (on,) = post(key, "connections/broker/delete", {"preview": True}).json()["sources"]
    assert on == "topic"
    assert stands() == ALL
    assert not AuditEntry.objects.filter(action__endswith="delete").exists()


@pytest.mark.parametrize(("rows", "left"), [("keep", [1, 2]), ("delete", [])])
def test_a_source_goes_and_its_rows_as_one_chooses(
    rows: str, left: list[int], key: str, source: Source
) -> None:
    answer = post(key, "sources/http/delete", {"confirm": "http", "rows": rows})
    assert (answer.status_code, answer.json()["done"]) == (200, True)
    assert not Source.objects.filter(name="http").exists()
    assert numbers(source.table) == left
    assert len(misfits(source.table)) == (1 if left else 0)
    entry = AuditEntry.objects.get(action="source.delete")
    assert (entry.actor_kind, entry.detail) == ("key", {"with_rows": rows == "delete"})


def test_a_table_goes_with_all_that_feeds_it_and_names_the_queries_that_fail(
    key: str, source: Source
) -> None:
    sql = "SELECT sum(n) AS n FROM events"
    for number in range(removal.SHOWN_QUERIES + 2):
        publish(SavedQuery.objects.create(tenant=source.tenant, name=f"q{number:02}", sql=sql))
    told = post(key, "tables/events/delete", {"preview": True}).json()
    assert told["failing_queries"] == [f"q{number:02}" for number in range(20)]
    assert told["further_failing_queries"] == 2
    only_one = held(source, queries=("q21",))
    told = post(only_one, "tables/events/delete", {"preview": True}).json()
    assert (told["failing_queries"], told["further_failing_queries"]) == (["q21"], 21)
    done = post(key, "tables/events/delete", {"confirm": "events"})
    assert (done.status_code, done.json()["sources"]) == (200, ["http", "topic"])
    assert stands() == [0, 0, 1, 0]
    # Of Kafka at an address where nobody answers the consumer group is left, which is said.
    assert "kafka-consumer-groups.sh --delete" in done.json()["left"][0]


@pytest.mark.slow
def test_a_connection_goes_with_the_sources_on_it(key: str, source: Source) -> None:
    done = post(key, "connections/broker/delete", {"confirm": "broker", "rows": "delete"})
    assert (done.status_code, done.json()["sources"]) == (200, ["topic"])
    assert stands() == [1, 1, 0, 0]
    assert numbers(source.table) == [1, 2]


@pytest.mark.parametrize("address", DELETIONS)
def test_nothing_goes_without_the_name(address: str, key: str, source: Source) -> None:
    for confirm in (None, "", "HTTP", "acme.http"):
        answer = post(key, address, {} if confirm is None else {"confirm": confirm})
        assert (answer.status_code, answer.json()["code"]) == (409, "not_confirmed")
        assert (
            f"give its name as the confirmation: {address.split('/')[1]}" in answer.json()["detail"]
        )
    assert stands() == ALL


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ('{"preveiw": true}', "unknown_member"),
        ('{"preview": true, "preview": false}', "doubled_member"),
        ("[]", "parameter_invalid"),
        ("{", "body_unreadable"),
    ],
)
def test_what_is_not_understood_is_refused(body: str, code: str, key: str, source: Source) -> None:
    for address in CHANGES:
        answer = post(key, address, body)
        assert (answer.status_code, answer.json()["code"]) == (400, code), address
        assert post(key, f"{address}?preview=true").json()["code"] == "unknown_parameter"
    assert stands() == ALL


def test_values_that_there_are_not_are_refused(key: str, source: Source) -> None:
    bodies: list[tuple[str, Any]] = [
        ("sources/http/delete", {"confirm": "http", "rows": "some"}),
        ("sources/http/delete", {"confirm": 7}),
        ("sources/http/delete", {"confirm": "http", "preview": "yes"}),
        ("tables/events/delete", {"confirm": "events", "rows": "keep"}),
        ("sources/http/archive", {"preview": 1}),
    ]
    for address, body in bodies:
        assert post(key, address, body).status_code == 400, body
    assert stands() == ALL


@pytest.mark.slow
def test_what_can_not_be_done_now_is_told_as_a_problem(
    key: str, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = {"confirm": "http", "rows": "delete"}
    lease.take(None, "worker", 16)
    with monkeypatch.context() as patch:
        patch.setattr(holding, "PATIENCE", 0.3)
        answer = post(key, "sources/http/delete", body)
    assert (answer.status_code, answer.json()["code"]) == (503, "busy")
    assert answer["Retry-After"] == "5"
    lease.release("worker", list(StreamPartition.objects.values_list("pk", flat=True)))

    def away(*_: Any) -> None:
        raise WarehouseUnreachable("t_acme does not answer.")

    with monkeypatch.context() as patch:
        patch.setattr(warehouse, "admin", away)
        told = post(key, "sources/http/delete", {"preview": True}).json()
        assert [one["count"] for one in told["rows"]] == [None, None]
        answer = post(key, "sources/http/delete", body)
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    assert "t_acme" not in answer.content.decode()
    source.refresh_from_db()
    assert (stands(), source.active) == (ALL, True)

    execute = warehouse.execute

    def half(statements: Any, options: Any = None) -> None:
        execute(list(statements)[:1], options)
        raise WarehouseUnreachable("t_acme does not answer.")

    with monkeypatch.context() as patch:
        patch.setattr(warehouse, "execute", half)
        answer = post(key, "tables/events/delete", {"confirm": "events"})
    assert (answer.status_code, answer.json()["code"]) == (503, "stopped_half_way")
    assert "t_acme" not in answer.content.decode()
    assert post(key, "tables/events/delete", {"confirm": "events"}).status_code == 200


# --- Archiving ----------------------------------------------------------------------------------


def test_a_source_is_archived_after_a_look_and_restored(key: str, source: Source) -> None:
    told = post(key, "sources/http/archive", {"preview": True}).json()
    assert (told["done"], told["sources"]) == (False, ["http"])
    assert "Rows and quarantine stay" in told["consequences"][1]
    assert stands() == ALL
    done = post(key, "sources/http/archive").json()
    assert (done["done"], done["sources"]) == (True, ["http"])
    assert post(key, "sources/http/archive").json()["sources"] == []
    assert stands() == [2, 1, 1, 1]
    refused = post(key, "sources/http/resume")
    assert (refused.status_code, refused.json()["code"]) == (409, "source_archived")
    for _ in range(2):
        assert post(key, "sources/http/restore").json()["state"] == "paused"
    source.refresh_from_db()
    assert (source.is_archived, source.active) == (False, False)
    assert post(key, "sources/http/resume").json()["state"] == "running"
    for action in ("source.archive", "source.restore"):
        entry = AuditEntry.objects.get(action=action)
        assert (entry.actor_kind, entry.object_name) == ("key", str(source))


@pytest.mark.parametrize(
    ("address", "archived"),
    [("tables/events", ["http", "topic"]), ("connections/broker", ["topic"])],
)
def test_all_that_hangs_on_a_table_or_connection_is_archived(
    address: str, archived: list[str], key: str, source: Source
) -> None:
    assert post(key, f"{address}/archive", {"preview": True}).json()["sources"] == archived
    assert stands() == ALL
    assert post(key, f"{address}/archive").json()["sources"] == archived
    rows = Source.objects.exclude(archived_at=None).order_by("name")
    assert list(rows.values_list("name", flat=True)) == archived


# --- Who may ------------------------------------------------------------------------------------


def doing(address: str) -> dict[str, str]:
    """The body by which it would be done."""
    return {"confirm": address.split("/")[1]} if address in DELETIONS else {}


def test_a_key_without_the_scope_is_told_which(source: Source) -> None:
    _, key = create_key(source.tenant, "of old")
    for address in CHANGES:
        answer = post(key, address, doing(address))
        assert (answer.status_code, answer.json()["scope"]) == (403, "manage")
        assert post("mr_wrong", address, doing(address)).status_code == 401
    assert stands() == ALL


@pytest.mark.security
def test_what_is_another_tenants_is_as_unknown_as_what_is_not(
    source: Source, tenant_factory: Callable[..., Tenant]
) -> None:
    _, other = create_key(tenant_factory("other"), "x", scopes=["manage"])
    for address in CHANGES:
        there = post(other, address, doing(address))
        nowhere = post(other, address.replace(address.split("/")[1], "nothing"), doing(address))
        assert there.status_code == nowhere.status_code == 404
        assert there.content == nowhere.content
        assert there.headers == nowhere.headers
    assert stands() == ALL


@pytest.mark.security
def test_a_shared_connection_is_no_tenants_to_delete(key: str, source: Source) -> None:
    Connection.objects.create(name="shared", kind="kafka", addresses="127.0.0.1:1")
    for verb in ("delete", "archive"):
        answer = post(key, f"connections/shared/{verb}", {"preview": True})
        assert answer.status_code == 404
    assert Connection.across_tenants.filter(name="shared").exists()


@pytest.mark.security
def test_a_key_that_is_held_to_some_sources_sees_nothing_that_others_hang_on(
    source: Source,
) -> None:
    only_http = held(source, sources=("http",))
    for address in CHANGES[3:]:
        assert post(only_http, address, doing(address)).status_code == 404
    assert post(only_http, "sources/topic/delete", {"confirm": "topic"}).status_code == 404
    assert stands() == ALL
    assert post(only_http, "sources/http/delete", {"confirm": "http"}).status_code == 200


@pytest.mark.security
def test_a_key_with_row_filters_deletes_nothing_and_hears_no_counts(source: Source) -> None:
    filtered = held(source, row_filters={"events": "n = 1"})
    for address in DELETIONS:
        for body in (doing(address), {"preview": True}):
            answer = post(filtered, address, body)
            assert (answer.status_code, answer.json()["code"]) == (403, "row_filter")
    assert stands() == ALL


def test_changing_is_a_post(key: str, source: Source) -> None:
    for address in CHANGES:
        for method in ("GET", "DELETE", "PUT"):
            answer = Client().generic(
                method, f"/api/v1/{address}", headers={"Authorization": f"Bearer {key}"}
            )
            assert answer.status_code == 405
    assert stands() == ALL


# --- By command ---------------------------------------------------------------------------------


def test_the_command_shows_what_goes_and_deletes_once_the_name_is_given(source: Source) -> None:
    said = command("delete", "source", str(source))
    assert "Goes: Its settings, its position" in said
    assert f"Stays: rows of {source} in {source.table}: 2" in said
    assert "Repeat the command with --confirm http" in said
    said = command("delete", "source", str(source), "--rows")
    assert f"Goes: rows of {source} in {source.table}: 2" in said
    with pytest.raises(CommandError, match="give its name as the confirmation: http"):
        command("delete", "source", str(source), "--confirm", str(source))
    assert stands() == ALL
    assert "was deleted." in command("delete", "source", str(source), "--rows", "--confirm", "http")
    assert stands() == [1, 1, 1, 0]
    assert numbers(source.table) == []
    assert AuditEntry.objects.get(action="source.delete").actor_name.startswith("manage.py delete")


@pytest.mark.slow
def test_the_command_deletes_tables_and_connections_shared_ones_too(source: Source) -> None:
    publish(SavedQuery.objects.create(tenant=source.tenant, name="q", sql="SELECT n FROM events"))
    said = command("delete", "table", str(source.table), "--confirm", "events")
    assert f"Goes: rows of {source.table}: 2" in said
    assert "Will fail: saved queries that read the table: q." in said
    assert "Left: " in said
    Connection.objects.create(name="shared", kind="kafka", addresses="127.0.0.1:1")
    command("delete", "connection", f"{source.tenant.slug}.broker", "--confirm", "broker")
    command("delete", "connection", "shared", "--confirm", "shared")
    assert stands() == [0, 0, 0, 0]


def test_the_command_archives_and_restores(source: Source) -> None:
    assert "Nothing was changed." in command("archive", "table", str(source.table))
    assert stands() == ALL
    said = command("archive", "table", str(source.table), "--yes")
    assert f"{source}, " in said
    assert "were archived. Take one out" in said
    assert stands() == [2, 1, 1, 2]
    assert "Nothing changes" in command("archive", "table", str(source.table), "--yes")
    assert "was restored. It is paused" in command("restore", str(source))
    assert stands() == [2, 1, 1, 1]
    with pytest.raises(CommandError, match="is not archived"):
        command("restore", str(source))
    with pytest.raises(CommandError, match=r"There is no table 'x\.y'"):
        command("archive", "table", "x.y")
    entry = AuditEntry.objects.get(action="table.archive")
    assert entry.actor_name.startswith("manage.py archive")
