"""Who did what: from the admin, the API and commands; append-only, without secrets."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from datetime import timedelta
from importlib import import_module
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command, get_commands
from django.db import DatabaseError, connection, transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from analytics_api.models import SavedQuery
from ingestion.models import Connection, Source, Table
from tenants.audit import Actor, acting, record
from tenants.audit.command import ChangingCommand
from tenants.audit.retention import prune
from tenants.formulas import neutral
from tenants.models import AppendOnly, AuditEntry, Scope, Tenant
from tenants.services import keys

SECRET = "hunter2-very-secret"


@pytest.fixture
def tenant(db: None) -> Tenant:
    return Tenant.objects.create(slug="shop", name="The Shop")


@pytest.fixture
def operator(db: None) -> Client:
    made = Client()
    made.force_login(User.objects.create_superuser("operator"))
    return made


@pytest.fixture
def source(tenant: Tenant) -> Source:
    table = Table.objects.create(tenant=tenant, name="orders")
    return Source.objects.create(tenant=tenant, name="orders", table=table)


def last() -> AuditEntry:
    found = AuditEntry.objects.first()
    assert found is not None
    return found


def called(tenant: Tenant, method: str, path: str, **data: Any) -> Any:
    _, text = keys.create_key(tenant, "robot", scopes=[Scope.MANAGE])
    send = getattr(Client(), method)
    kind = {} if method == "get" else {"content_type": "application/json"}
    return send(f"/api/v1/{path}", data, headers={"Authorization": f"Bearer {text}"}, **kind)


# --- Append-only --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE tenants_auditentry SET action = 'x'",
        "DELETE FROM tenants_auditentry",
        "TRUNCATE tenants_auditentry",
    ],
)
def test_postgres_refuses_to_change_or_delete_an_entry(statement: str, tenant: Tenant) -> None:
    record("tenant.suspend", tenant, tenant=tenant)
    with (
        pytest.raises(DatabaseError, match="append-only"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(statement)
    assert last().action == "tenant.suspend"


def test_the_model_refuses_it_too(tenant: Tenant) -> None:
    entry = record("tenant.suspend", tenant, tenant=tenant)
    for act in (
        entry.save,
        entry.delete,
        AuditEntry.objects.all().delete,
        lambda: AuditEntry.objects.update(action="x"),
    ):
        with pytest.raises(AppendOnly):
            act()


def test_entries_stay_when_their_tenant_goes_and_are_no_others(tenant: Tenant) -> None:
    record("tenant.suspend", tenant, tenant=tenant)
    gone = tenant.pk
    tenant.delete()
    again = Tenant.objects.create(slug="shop", name="Another shop")
    assert (last().tenant_slug, last().tenant_id) == ("shop", gone)
    (made,) = called(again, "get", "audit").json()["entries"]
    assert made["action"] == "key.create"  # the one that asks


def test_what_is_rolled_back_was_never_done(tenant: Tenant) -> None:
    with transaction.atomic():
        record("tenant.suspend", tenant, tenant=tenant)
        transaction.set_rollback(True)
    assert not AuditEntry.objects.exists()


def test_retention_alone_deletes_and_says_so(tenant: Tenant) -> None:
    record("tenant.suspend", tenant, tenant=tenant)
    assert prune(timezone.now() - timedelta(hours=1)) == 0
    assert prune(timezone.now() + timedelta(hours=1)) == 2
    assert last().action == "audit.prune"
    assert last().detail["entries"] == 2
    with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("DELETE FROM tenants_auditentry")
    with pytest.raises(CommandError, match="at least 1"):
        call_command("audit", prune_days=0)


# --- No secrets ---------------------------------------------------------------------------------


def test_no_secret_gets_into_an_entry(tenant: Tenant) -> None:
    made = Connection.objects.create(
        tenant=tenant, name="kafka", kind="kafka", addresses="k:1", password=SECRET
    )
    _, key = keys.create_key(tenant, "k")
    token = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJlLW9m"
    entry = record(
        "connection.change",
        made,
        tenant=tenant,
        detail={
            "password": "other",
            "client_key": "PEM",
            "said": f"tried {SECRET} and {key} and {token}",
            "deep": [{"note": SECRET, "secret": {"a": 1}, "password_changed": True}],
            "at": timezone.now(),
        },
    )
    entry.refresh_from_db()
    text = json.dumps(entry.detail)
    for secret in (SECRET, key, token, "other", "PEM", '"a"'):
        assert secret not in text
    assert entry.detail["deep"][0]["password_changed"] is True
    assert entry.detail["said"] == "tried [hidden] and [hidden] and [hidden]"


# --- The admin ----------------------------------------------------------------------------------


def test_a_form_is_recorded_by_the_names_of_its_fields(operator: Client, tenant: Tenant) -> None:
    fields = {"name": "kafka", "kind": "kafka", "addresses": "k:1", "options": "{}"}
    secret = {"username": "u", "password": SECRET}
    address = reverse("admin:ingestion_connection_add")
    assert operator.post(address, fields | secret | {"tenant": tenant.pk}).status_code == 302
    assert (last().action, last().actor_kind, last().actor_name) == (
        *("connection.create", "user", "operator"),
    )
    assert (last().tenant_id, last().address) == (tenant.pk, "127.0.0.1")
    made = Connection.objects.get()
    address = reverse("admin:ingestion_connection_change", args=[made.pk])
    changes = {"tenant": tenant.pk, "username": "u", "addresses": "k:2", "password": "new-secret"}
    assert operator.post(address, fields | changes).status_code == 302
    entry = last()
    assert entry.action == "connection.change"
    assert {"Addresses", "password"} <= set(entry.detail["changed"])
    assert "new-secret" not in json.dumps(entry.detail)
    confirmed = {"confirmation": made.name, "rows": "keep"}
    operator.post(reverse("admin:ingestion_connection_delete", args=[made.pk]), confirmed)
    assert (last().action, last().object_name) == ("connection.delete", "shop.kafka")


def test_buttons_and_actions_are_recorded(operator: Client, source: Source) -> None:
    operator.post(reverse("admin:ingestion_source_act", args=[source.pk, "pause"]))
    assert (last().action, last().object_id) == ("source.pause", str(source.pk))
    form = {"action": "resume", "_selected_action": [source.pk]}
    operator.post(reverse("admin:ingestion_source_changelist"), form)
    assert (last().action, last().tenant_slug) == ("source.resume", "shop")
    form = {"action": "suspend", "_selected_action": [source.tenant.pk]}
    operator.post(reverse("admin:tenants_tenant_changelist"), form)
    assert (last().action, last().object_name) == ("tenant.suspend", "The Shop")
    assert last().tenant_id == source.tenant_id


def test_people_are_recorded_without_their_passwords(operator: Client) -> None:
    form = {"username": "new", "password1": "s3cret-s3cret", "password2": "s3cret-s3cret"}
    answer = operator.post(
        reverse("admin:auth_user_add"), form | {"usable_password": "true", "_save": "1"}
    )
    assert answer.status_code == 302
    assert (last().action, last().object_name, last().tenant_id) == ("user.create", "new", None)
    assert "s3cret" not in json.dumps(last().detail)


def test_the_page_shows_exports_and_changes_nothing(operator: Client, tenant: Tenant) -> None:
    tenant.name = '=HYPERLINK("http://evil")'
    entry = record("tenant.suspend", tenant, tenant=tenant, actor=Actor.system())
    page = operator.get(reverse("admin:tenants_auditentry_changelist"), {"q": "suspend"})
    assert "tenant.suspend" in page.content.decode()
    change = reverse("admin:tenants_auditentry_change", args=[entry.pk])
    assert operator.get(change).status_code == 200
    assert operator.post(change, {"action": "x"}).status_code == 403
    delete = reverse("admin:tenants_auditentry_delete", args=[entry.pk])
    assert operator.post(delete, {"post": "yes"}).status_code == 403
    record("key.revoke", None, tenant=None)
    answer = operator.get(reverse("admin:tenants_auditentry_export"), {"q": "suspend"})
    text = b"".join(answer.streaming_content).decode()  # type: ignore[attr-defined]
    (row,) = csv.DictReader(io.StringIO(text))
    assert row["object"] == """'=HYPERLINK("http://evil")"""


@pytest.mark.parametrize(
    "cell", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "  =1", "\uff1d1"]
)
def test_no_cell_is_a_formula(cell: str) -> None:
    assert neutral(cell) == f"'{cell}"
    assert neutral(f"a{cell}") == f"a{cell}"


# --- The API ------------------------------------------------------------------------------------


def test_a_change_by_the_api_names_the_key(source: Source) -> None:
    answer = called(source.tenant, "post", "sources/orders/pause")
    assert answer.status_code == 200
    entry = last()
    assert (entry.action, entry.actor_kind) == ("source.pause", "key")
    assert entry.actor_name.startswith("robot (mr_")
    called(source.tenant, "post", "sources/orders/pause")
    paused = AuditEntry.objects.filter(action="source.pause")
    assert paused.count() == 1, "it was paused already"


def test_the_api_pages_through_one_tenants_entries(source: Source) -> None:
    tenant, other = source.tenant, Tenant.objects.create(slug="other", name="Canary")
    for number in range(5):
        record("source.pause", source, tenant=tenant, detail={"number": number})
        record("source.pause", None, tenant=other, detail={"canary": number})
        record("user.create", None, tenant=None)
    seen: list[int] = []
    before: dict[str, Any] = {}
    while True:
        asked = {"limit": 2, "action": "source.pause", **before}
        page = called(tenant, "get", "audit", **asked).json()
        seen += [one["detail"]["number"] for one in page["entries"]]
        if page["next_before"] is None:
            break
        before = {"before": page["next_before"]}
    assert seen == [4, 3, 2, 1, 0]
    assert called(tenant, "get", "audit", action="x").json()["entries"] == []
    since = (timezone.now() + timedelta(hours=1)).isoformat()
    assert called(tenant, "get", "audit", since=since).json()["entries"] == []
    for wrong in ({"limit": 0}, {"before": "x"}, {"since": "yesterday"}):
        answer = called(tenant, "get", "audit", **wrong)
        assert (answer.status_code, answer.json()["code"]) == (400, "parameter_invalid")


def test_the_log_needs_the_scope_manage(tenant: Tenant) -> None:
    _, text = keys.create_key(tenant, "k")
    answer = Client().get("/api/v1/audit", headers={"Authorization": f"Bearer {text}"})
    assert (answer.status_code, answer.json()["code"]) == (403, "scope_missing")


# --- Commands -----------------------------------------------------------------------------------


def test_a_command_is_recorded_with_who_ran_it(tenant: Tenant, capsys: Any) -> None:
    call_command("api_key", "create", "shop", name="from the shell")
    assert (last().action, last().actor_kind) == ("key.create", "command")
    assert last().actor_name.startswith("manage.py api_key (")
    capsys.readouterr()


def test_applied_files_are_recorded_and_a_dry_run_is_not(tmp_path: Any, db: None) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(
        "connections:\n- {name: k, kind: kafka, addresses: 'k:1', username: u, "
        "password: {env: HOME}}\n"
    )
    call_command("apply", file, dry_run=True, stdout=io.StringIO())
    assert not AuditEntry.objects.exists()
    call_command("apply", file, stdout=io.StringIO())
    assert last().action == "connection.create"
    assert "password" in last().detail["changed"]
    assert last().actor_kind == "command"


def test_the_log_is_written_as_csv_and_ndjson(tenant: Tenant) -> None:
    with acting(Actor.command("x")):
        record("tenant.suspend", tenant, tenant=tenant)
    record("user.create", None, tenant=None)
    out = io.StringIO()
    call_command("audit", tenant="shop", stdout=out)
    (line,) = out.getvalue().splitlines()
    assert json.loads(line)["object"] == "The Shop"
    out = io.StringIO()
    call_command("audit", format="csv", stdout=out)
    assert [row["action"] for row in csv.DictReader(io.StringIO(out.getvalue()))] == [
        *("tenant.suspend", "user.create"),
    ]
    with pytest.raises(CommandError, match="no tenant"):
        call_command("audit", tenant="nobody")


#: Commands that only look, and the demo, which runs for as long as one looks at it.
LOOKING = {
    *("demo", "export", "infer", "ledger", "locate", "quarantine", "status", "test_connection"),
    "usage",
}


def test_every_command_that_changes_something_says_who_ran_it() -> None:
    ours = {
        name: app
        for name, app in get_commands().items()
        if app in {"millrace", "tenants", "ingestion", "analytics_api"}
    }
    for name in ours.keys() - LOOKING:
        found = import_module(f"{ours[name]}.management.commands.{name}").Command
        assert issubclass(found, ChangingCommand), f"{name} is no ChangingCommand"


def test_a_published_query_is_recorded_once(
    operator: Client, tenant_factory: Callable[..., Tenant], table_factory: Callable[..., Table]
) -> None:
    tenant = tenant_factory()
    table_factory(tenant, [{"name": "n", "type": "UInt32"}], sorting_key=["n"])
    form = {"tenant": tenant.pk, "name": "q", "description": "", "parameters": "{}"}
    more = {"sql": "SELECT n FROM events"}
    inline = {"versions-TOTAL_FORMS": "0", "versions-INITIAL_FORMS": "0"}
    answer = operator.post(reverse("admin:analytics_api_savedquery_add"), form | more | inline)
    assert answer.status_code == 302
    query = SavedQuery.objects.get()
    assert not query.is_published
    publish = reverse("admin:analytics_api_savedquery_act", args=[query.pk, "publish"])
    assert operator.post(publish, {"confirmed": "yes"}).status_code == 302
    query.refresh_from_db()
    assert query.is_published
    actions = (
        AuditEntry.objects.filter(tenant=tenant).order_by("pk").values_list("action", flat=True)
    )
    assert list(actions) == ["query.create", "query.publish"]
