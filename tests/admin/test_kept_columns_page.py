"""A table's page names the columns that are kept, and they are dropped after a question."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from ingestion.models import Table
from tenants.models import AuditEntry, Membership, Tenant
from tests.ingestion.test_kept_columns import COLUMNS, leave_out, names_of, pass_time


@pytest.fixture
def wide(tenant_factory: Callable[..., Tenant], table_factory: Callable[..., Table]) -> Table:
    return table_factory(tenant_factory("shop"), COLUMNS, sorting_key=["n"])


def address(page: str, table: Table) -> str:
    return reverse(f"admin:ingestion_table_{page}", args=[table.pk])


def member(tenant: Tenant, role: str) -> Client:
    user = User.objects.create_user(role, is_staff=True)
    Membership.objects.create(tenant=tenant, user=user, role=role)
    client = Client()
    client.force_login(user)
    return client


@pytest.mark.parametrize("who", ["operator", "owner", "editor"])
def test_a_kept_column_is_dropped_after_a_question(who: str, operator: Client, wide: Table) -> None:
    client = operator if who == "operator" else member(wide.tenant, who)
    change, kept = address("change", wide), address("kept", wide)
    assert "Columns without a description" not in client.get(change).content.decode()
    assert "This table keeps no removed columns." in client.get(kept).content.decode()
    leave_out(wide, "note")
    page = client.get(change).content.decode()
    assert "Columns without a description" in page
    assert kept in page
    assert "may still be typed into it" in client.get(kept).content.decode()
    asked = f"{kept}?column=note"
    assert "Drop column" not in client.get(asked).content.decode()
    told = client.post(kept, {"column": "note"}).content.decode()
    assert "The column was not dropped: Column note" in told
    pass_time(wide)
    assert "Drop it with its data" in client.get(kept).content.decode()
    page = client.get(asked).content.decode()
    assert "This drops column note with all its data, on all parts of" in page
    assert "note" in names_of(wide)
    assert "Drop column" not in client.get(f"{kept}?column=n").content.decode()
    assert "keeps no column" in client.post(kept, {"column": "n"}).content.decode()
    done = client.post(kept, {"column": "note"}, follow=True).content.decode()
    assert "Column note was dropped with its data." in done
    assert "note" not in names_of(wide)
    entry = AuditEntry.across_tenants.get(action="table.drop_column")
    assert entry.actor_name == who


def test_a_viewer_only_looks_and_another_tenants_member_does_not(
    wide: Table, tenant_factory: Callable[..., Tenant]
) -> None:
    leave_out(wide, "note")
    pass_time(wide)
    kept = address("kept", wide)
    viewer, other = member(wide.tenant, "viewer"), member(tenant_factory("other"), "owner")
    page = viewer.get(f"{kept}?column=note").content.decode()
    assert "note" in page
    assert "Drop" not in page.split('id="content"')[-1]
    assert viewer.post(kept, {"column": "note"}).status_code == 403
    assert other.get(kept).status_code == 404
    assert other.post(kept, {"column": "note"}).status_code == 404
    assert "note" in names_of(wide)
