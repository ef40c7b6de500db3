"""In the admin a sample becomes a proposal, the proposal a form, and the form a table."""

from __future__ import annotations

import json
from collections.abc import Callable
from html import unescape
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from ingestion.models import Connection, Source, Table
from tenants.models import Membership, Tenant

INFER, ADD = "admin:ingestion_table_infer", "admin:ingestion_table_add"
SAMPLE = "\r\n".join(
    json.dumps({"id": n, "time": "2026-01-02T03:04:05Z", "user": {"name": f"<b>{n}</b>"}, "mix": m})
    for n, m in enumerate([1, "a"] * 10)
)


def _member(tenant: Tenant, role: str) -> Client:
    user = User.objects.create_user(f"{role}-{tenant.slug}", is_staff=True)
    Membership.objects.create(tenant=tenant, user=user, role=role)
    client = Client()
    client.force_login(user)
    return client


def _sent(page: Any) -> dict[str, Any]:
    """What a browser would send of the form of a new table as it is shown."""
    form = page.context["adminform"].form
    data = {name: form[name].value() for name in form.fields}
    (inline,) = page.context["inline_admin_formsets"]
    for one in (inline.formset.management_form, *inline.formset.forms):
        for name in one.fields:
            data[one.add_prefix(name)] = one[name].value()
    return {name: value for name, value in data.items() if value is not None and value is not False}


def test_a_pasted_sample_becomes_a_table(
    operator: Client, tenant_factory: Callable[..., Tenant]
) -> None:
    tenant = tenant_factory()
    tables = operator.get(reverse("admin:ingestion_table_changelist"))
    assert reverse(INFER) in tables.content.decode()
    assert operator.get(reverse(INFER)).status_code == 200
    asked = {"tenant": tenant.pk, "name": "visits", "sample": SAMPLE}
    answer = operator.post(reverse(INFER), asked)
    assert answer.status_code == 302, answer.context["form"].errors

    page = operator.get(answer.headers["Location"])
    text = page.content.decode()
    assert "Proposed from 20 messages. 20 of them fit this table" in text
    assert "Its values are of several kinds: integer, text." in text
    assert "<b>0</b>" not in text
    assert "<b>0</b>" in unescape(text)
    saved = operator.post(reverse(ADD), _sent(page))
    assert saved.status_code == 302, saved.context["errors"]

    assert operator.get(answer.headers["Location"]).context["proposed"] is None

    table = Table.objects.get(tenant=tenant)
    assert (table.name, table.sorting_key) == ("visits", ["time", "id"])
    assert [(one.name, one.type, one.path) for one in table.columns.all()] == [
        ("id", "Int64", ""),
        ("time", "DateTime64(3, 'UTC')", ""),
        ("user_name", "String", "user.name"),
    ]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, "Choose one sample"),
        ({"sample": "[1]"}, "None of the 1 messages is a JSON object"),
        ({"sample": SAMPLE, "name": "No__Name"}, "Use up to 63 lower-case letters"),
        ({"stream": "orders", "sample": SAMPLE}, "Choose a connection and enter its topic"),
    ],
)
def test_what_can_not_be_proposed_is_said(
    fields: dict[str, str],
    words: str,
    operator: Client,
    tenant_factory: Callable[..., Tenant],
) -> None:
    asked = {"tenant": tenant_factory().pk, "name": "visits", **fields}
    answer = operator.post(reverse(INFER), asked)
    assert answer.status_code == 200
    assert words in unescape(answer.content.decode())


def test_a_member_chooses_of_their_own_tenants_alone(
    db: None, tenant_factory: Callable[..., Tenant], table_factory: Callable[..., Table]
) -> None:
    mine = tenant_factory()
    others = table_factory(tenant_factory(), [{"name": "n", "type": "Int8"}])
    source = Source.objects.create(tenant=others.tenant, name="theirs", table=others)
    shared = Connection.objects.create(name="ours", kind="kafka", addresses="127.0.0.1:1")
    theirs = Connection.objects.create(
        tenant=others.tenant, name="theirs", kind="kafka", addresses="127.0.0.1:1"
    )
    editor = _member(mine, "editor")
    page = editor.get(reverse(INFER)).content.decode()
    assert others.tenant.slug not in page
    assert "shared" not in page
    for fields in (
        {"tenant": others.tenant_id, "sample": SAMPLE},
        {"tenant": mine.pk, "source": source.pk},
        {"tenant": mine.pk, "connection": theirs.pk, "stream": "orders"},
        {"tenant": mine.pk, "connection": shared.pk, "stream": "orders"},
    ):
        answer = editor.post(reverse(INFER), {"name": "visits", **fields})
        assert answer.status_code == 200
        assert "Select a valid choice" in answer.content.decode()
    assert _member(mine, "viewer").get(reverse(INFER)).status_code == 403


def test_a_source_of_another_tenant_than_the_table_is_refused(
    operator: Client, tenant_factory: Callable[..., Tenant], table_factory: Callable[..., Table]
) -> None:
    table = table_factory(tenant_factory(), [{"name": "n", "type": "Int8"}])
    source = Source.objects.create(tenant=table.tenant, name="theirs", table=table)
    asked = {"tenant": tenant_factory().pk, "name": "visits", "source": source.pk}
    answer = operator.post(reverse(INFER), asked)
    assert "Choose one of the table&#x27;s tenant" in answer.content.decode()
