"""Every admin page, empty and filled: it renders, asks few questions, and shows no secret."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from analytics_api.models import SavedQuery
from ingestion.models import (
    Backfill,
    Batch,
    Connection,
    FoldedBatches,
    Gap,
    Source,
    StreamPartition,
    Table,
)
from tenants import key_format
from tenants.models import APIKey, Membership, Plan, Tenant, Usage, Warehouse
from tenants.services import keys
from tenants.warehouse import client as warehouse

SECRET = "hunter2-very-secret"
MODELS = sorted(admin.site._registry, key=lambda model: model._meta.label)


def _name(model: Any, page: str) -> str:
    return f"admin:{model._meta.app_label}_{model._meta.model_name}_{page}"


@pytest.fixture
def filled(tenant_factory: Callable[..., Tenant], table_factory: Callable[..., Table]) -> Table:
    """One of everything, the source failing."""
    columns = [{"name": "n", "type": "UInt32"}]
    table = table_factory(tenant_factory("full"), columns, sorting_key=["n"])
    made = Connection.objects.create(
        tenant=table.tenant,
        name="kafka",
        kind="kafka",
        addresses="127.0.0.1:9092",
        username="u",
        password=SECRET,
    )
    source = Source.objects.create(
        tenant=table.tenant,
        name="events",
        connection=made,
        stream="events",
        table=table,
        error="Topic <b>'events'</b>: it does not exist.",
        error_at=timezone.now(),
        attempts=2,
    )
    part = StreamPartition.objects.create(source=source, number=0, position=5, high_watermark=9)
    Batch.objects.create(partition=part, from_offset=0, to_offset=5, epoch=1, rows=5)
    Gap.objects.create(partition=part, from_offset=5, to_offset=7, reason="deleted")
    FoldedBatches.objects.create(
        partition=part,
        from_offset=0,
        to_offset=5,
        batches=2,
        rows=5,
        deduplicated=0,
        quarantined=1,
        bytes=99,
        opened_at=timezone.now(),
        done_at=timezone.now(),
    )
    Membership.objects.create(tenant=table.tenant, user=User.objects.create_user("member"))
    Backfill.objects.create(table=table, name="h.csv", sha256="ab", format="csv", chunk_rows=10)
    SavedQuery.objects.create(tenant=table.tenant, name="q", sql="SELECT n FROM events")
    key, _ = keys.create_key(table.tenant, "k")
    plan = Plan.objects.create(name="basic", events_a_day=1_000, storage_bytes=10**9)
    Tenant.objects.filter(pk=table.tenant_id).update(plan=plan)
    today = timezone.now().date()
    Usage.objects.create(tenant=table.tenant, day=today, key=key, requests=5, errors=1)
    Usage.objects.create(tenant=table.tenant, day=today, events=70, storage_bytes=4_096)
    return table


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_every_list_renders_empty(model: Any, operator: Client) -> None:
    answer = operator.get(reverse(_name(model, "changelist")))
    assert answer.status_code == 200


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_every_list_and_form_renders_filled(model: Any, operator: Client, filled: Table) -> None:
    answer = operator.get(reverse(_name(model, "changelist")))
    assert answer.status_code == 200
    assert SECRET not in answer.content.decode()
    for one in model._default_manager.all()[:3]:
        page = operator.get(reverse(_name(model, "change"), args=[one.pk]))
        assert page.status_code == 200
        assert SECRET not in page.content.decode()
        assert "<b>'events'" not in page.content.decode()
    if admin.site._registry[model].has_add_permission(answer.wsgi_request):
        assert operator.get(reverse(_name(model, "add"))).status_code == 200


def test_a_search_renders_where_there_is_one(operator: Client, filled: Table) -> None:
    for model in MODELS:
        if admin.site._registry[model].search_fields:
            answer = operator.get(reverse(_name(model, "changelist")), {"q": "full"})
            assert answer.status_code == 200, model


@pytest.mark.parametrize("view", ["index", "ingestion_source_changelist"])
def test_a_list_asks_no_more_questions_for_more_rows(
    view: str, operator: Client, filled: Table
) -> None:
    def questions() -> int:
        with CaptureQueriesContext(
            connection,
        ) as captured:
            assert operator.get(reverse(f"admin:{view}")).status_code == 200
        return len(captured)

    questions()
    before = questions()
    for number in range(30):
        source = Source.objects.create(tenant=filled.tenant, name=f"more{number}", table=filled)
        StreamPartition.objects.create(source=source, number=0, position=1)
    assert questions() <= before + 1


def test_the_sources_list_says_what_an_operator_asks(operator: Client, filled: Table) -> None:
    page = operator.get(reverse("admin:ingestion_source_changelist")).content.decode()
    assert "Failing" in page
    assert "kafka: events" in page
    assert "it does not exist" in page
    assert "<b>" not in page.split("it does not exist")[0][-60:]


def test_the_overview_shows_what_fails(operator: Client, filled: Table) -> None:
    page = operator.get(reverse("admin:index")).content.decode()
    assert f"{filled.tenant.slug}.events" in page
    assert "it does not exist" in page


# --- Keys and passwords -----------------------------------------------------------------------


def test_a_new_key_is_shown_once(operator: Client, filled: Table) -> None:
    answer = operator.post(
        reverse("admin:tenants_apikey_add"),
        {
            "tenant": filled.tenant.pk,
            "name": "shop",
            "scopes": ["queries:run"],
            "expires_at_0": "",
            "expires_at_1": "",
        },
    )
    assert answer.status_code == 200, answer
    assert "no-store" in answer["Cache-Control"]
    row = APIKey.objects.get(name="shop")
    found = re.search(rf"mr_{row.prefix}_\w+", answer.content.decode())
    assert found is not None
    text = found[0]
    assert key_format.parse(text) is not None
    assert row.created_by is not None
    assert row.scopes == ["queries:run"]
    for page in (
        operator.get(reverse("admin:tenants_apikey_change", args=[row.pk])),
        operator.get(reverse("admin:tenants_apikey_changelist")),
        operator.get(reverse("admin:tenants_apikey_history", args=[row.pk])),
    ):
        assert text not in page.content.decode()
        assert text.split("_")[2] not in page.content.decode()


def test_a_key_is_revoked_by_its_button_and_never_deleted(operator: Client, filled: Table) -> None:
    row = APIKey.objects.get()
    address = reverse("admin:tenants_apikey_act", args=[row.pk, "revoke"])
    assert operator.get(address).status_code == 405
    assert operator.post(address).status_code == 302
    row.refresh_from_db()
    assert row.revoked_at is not None
    assert operator.post(reverse("admin:tenants_apikey_delete", args=[row.pk])).status_code == 403


def _connection_form(one: Connection, **changes: Any) -> dict[str, Any]:
    return {
        "tenant": one.tenant_id,
        "name": one.name,
        "kind": one.kind,
        "addresses": one.addresses,
        "username": one.username,
        "password": "",
        "options": "{}",
        **changes,
    }


def test_a_password_left_empty_stays_and_a_new_one_replaces_it(
    operator: Client, filled: Table
) -> None:
    one = Connection.objects.get()
    address = reverse("admin:ingestion_connection_change", args=[one.pk])
    assert operator.post(address, _connection_form(one, addresses="b:1")).status_code == 302
    one = Connection.objects.get()
    assert (one.addresses, one.password) == ("b:1", SECRET)
    operator.post(address, _connection_form(one, password="new"))
    assert Connection.objects.get().password == "new"
    operator.post(address, _connection_form(one, forget_password="on"))
    assert Connection.objects.get().password == ""


# --- What is made outside the database --------------------------------------------------------


def test_a_new_tenant_asks_for_its_warehouse(
    operator: Client, unique: Callable[[str], str], django_capture_on_commit_callbacks: Any
) -> None:
    slug = unique("made")
    with django_capture_on_commit_callbacks():
        answer = operator.post(
            reverse("admin:tenants_tenant_add"),
            {
                "name": "Made",
                "slug": slug,
                "status": "active",
                "weight": "1",
                "memberships-TOTAL_FORMS": "0",
                "memberships-INITIAL_FORMS": "0",
            },
        )
    assert answer.status_code == 302
    made = Warehouse.objects.get(tenant__slug=slug)
    assert (made.state, made.database) == ("pending", f"t_{slug}")


def _table_form(table: Table, **column: str) -> dict[str, Any]:
    found = table.columns.get()
    return {
        "tenant": table.tenant_id,
        "name": table.name,
        "sorting_key": "n",
        "partition_key": "",
        "ttl": "",
        "quarantine_days": "30",
        "unknown_fields": "count",
        "columns-TOTAL_FORMS": "2",
        "columns-INITIAL_FORMS": "1",
        "columns-0-id": found.pk,
        "columns-0-table": table.pk,
        "columns-0-position": "0",
        "columns-0-name": "n",
        "columns-0-type": "UInt32",
        "columns-0-path": "",
        "columns-0-required": "on",
        "columns-1-id": "",
        "columns-1-table": table.pk,
        "columns-1-position": "1",
        **{f"columns-1-{name}": value for name, value in column.items()},
    }


def test_a_table_that_can_not_be_is_refused_with_the_reason(
    operator: Client, filled: Table
) -> None:
    address = reverse("admin:ingestion_table_change", args=[filled.pk])
    answer = operator.post(
        address, _table_form(filled, name="s", type="Strin", path="", required="on")
    )
    assert answer.status_code == 200
    assert "Strin" in answer.content.decode()
    assert filled.columns.count() == 1


def test_a_path_that_would_read_nothing_is_refused_at_its_field(
    operator: Client, filled: Table
) -> None:
    address = reverse("admin:ingestion_table_change", args=[filled.pk])
    column = {"name": "s", "type": "Array(String)", "path": "items[*].sku", "default": "[]"}
    page = operator.post(address, _table_form(filled, **column)).content.decode()
    assert "[*] would be read as part of a key" in page
    assert filled.columns.count() == 1
    # One that was saved before goes on, and its page says what is wrong with it.
    filled.columns.update(path="n[*]")
    page = operator.get(address).content.decode()
    assert "Column n reads nothing: its path is &#x27;n[*]&#x27;." in page


def test_a_column_of_metadata_is_saved_and_what_is_none_is_refused_at_its_field(
    operator: Client, filled: Table
) -> None:
    address = reverse("admin:ingestion_table_change", args=[filled.pk])
    column = {"name": "trace", "type": "Nullable(String)", "metadata": "header:Cookie"}
    page = operator.post(address, _table_form(filled, **column)).content.decode()
    assert "The header Cookie holds a secret" in page
    assert filled.columns.count() == 1
    column["metadata"] = "header:trace-id"
    assert operator.post(address, _table_form(filled, **column)).status_code == 302
    assert filled.columns.get(name="trace").metadata == "header:trace-id"


@pytest.mark.parametrize(
    ("kind", "expression", "said"),
    [
        ("UInt64", "now()", "now can&#x27;t be used"),
        ("UInt8", "sipHash64(n)", "It is UInt64, and not every such value fits UInt8."),
        ("String", "upper(n)", "ClickHouse refuses it: Illegal type UInt32"),
        ("UInt64", "sipHash64(n)", ""),
    ],
)
def test_a_computed_column_is_saved_or_refused_at_its_field(
    kind: str, expression: str, said: str, operator: Client, filled: Table
) -> None:
    address = reverse("admin:ingestion_table_change", args=[filled.pk])
    column = {"name": "hash", "type": kind, "expression": expression}
    answer = operator.post(address, _table_form(filled, **column))
    assert answer.status_code == (200 if said else 302)
    assert said in answer.content.decode()
    assert filled.columns.filter(expression=expression).exists() is not bool(said)


def test_a_path_in_jsonpath_is_saved_and_one_that_its_type_can_t_have_is_refused(
    operator: Client, filled: Table
) -> None:
    address = reverse("admin:ingestion_table_change", args=[filled.pk])
    column = {"name": "s", "type": "String", "path": "$.items[*].sku", "default": '"?"'}
    page = operator.post(address, _table_form(filled, **column)).content.decode()
    assert "[*] reads an array, and String is none. Use Array(String)" in page
    column |= {"type": "Array(String)", "default": "[]"}
    assert operator.post(address, _table_form(filled, **column)).status_code == 302
    assert filled.columns.get(name="s").path == "$.items[*].sku"


def test_a_column_added_by_hand_stands_in_clickhouse(
    operator: Client, filled: Table, django_capture_on_commit_callbacks: Any
) -> None:
    from ingestion.provision import provision_table

    address = reverse("admin:ingestion_table_change", args=[filled.pk])
    form = _table_form(filled, name="s", type="Nullable(String)", path="user.name", required="")
    with django_capture_on_commit_callbacks():
        answer = operator.post(address, form)
    assert answer.status_code == 302, answer.context["errors"] if answer.context else answer
    filled.refresh_from_db()
    assert filled.state == "pending"
    provision_table(filled)
    database = filled.tenant.warehouse.database
    found = warehouse.rows(f"DESCRIBE TABLE {database}.events")
    assert {"s": "Nullable(String)"}.items() <= {one["name"]: one["type"] for one in found}.items()


def test_a_query_the_guard_refuses_is_refused_at_its_sql(operator: Client, filled: Table) -> None:
    one = SavedQuery.objects.get()
    address = reverse("admin:analytics_api_savedquery_change", args=[one.pk])
    form = {
        "description": "",
        "sql": "SELECT * FROM system.tables",
        "parameters": "{}",
        "analytics_api_savedquery_then_publish": "1",
        "versions-TOTAL_FORMS": "0",
        "versions-INITIAL_FORMS": "0",
    }
    answer = operator.post(address, form)
    assert answer.status_code == 200
    assert "system.tables" in answer.content.decode()
    assert not SavedQuery.objects.exclude(published=None).exists()
    asked = operator.post(address, form | {"sql": "SELECT n FROM events"}, follow=True)
    assert "will run this SQL from now on" in asked.content.decode()
    one.refresh_from_db()
    assert one.published is None
    operator.post(asked.redirect_chain[-1][0], {"confirmed": "1"})
    one.refresh_from_db()
    assert one.published is not None
    assert one.published.published_by is not None


# --- Who may see what -------------------------------------------------------------------------


def test_who_may_only_look_changes_nothing(filled: Table) -> None:
    staff = User.objects.create_user("staff", is_staff=True)
    # What a group or a hand gives counts for nothing beside the role.
    staff.user_permissions.set(Permission.objects.all())
    Membership.objects.create(tenant=filled.tenant, user=staff, role="viewer")
    member = Client()
    member.force_login(staff)
    source = Source.objects.get()
    page = member.get(reverse("admin:ingestion_source_change", args=[source.pk]))
    assert page.status_code == 200
    assert "/do/pause/" not in page.content.decode()
    pause = reverse("admin:ingestion_source_act", args=[source.pk, "pause"])
    assert member.post(pause).status_code == 403
    assert member.get(reverse("admin:ingestion_source_add")).status_code == 403
    source.refresh_from_db()
    assert source.active


def test_who_is_not_logged_in_sees_the_login(db: None) -> None:
    for model in MODELS:
        answer = Client().get(reverse(_name(model, "changelist")))
        assert answer.status_code == 302
        assert answer["Location"].startswith("/admin/login/")


def test_pausing_and_resuming_by_the_buttons(operator: Client, filled: Table) -> None:
    source = Source.objects.get()
    for name, active in (("pause", False), ("resume", True)):
        answer = operator.post(
            reverse("admin:ingestion_source_act", args=[source.pk, name]), follow=True
        )
        assert answer.status_code == 200
        source.refresh_from_db()
        assert source.active is active
    operator.post(reverse("admin:ingestion_source_act", args=[source.pk, "retry"]))
    source.refresh_from_db()
    assert source.retry_at <= timezone.now() + timedelta(seconds=1)
