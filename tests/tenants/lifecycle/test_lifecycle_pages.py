"""A tenant's buttons and pages in the admin."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse

from ingestion.models import Source
from tenants.models import Tenant
from tenants.tasks import export_tenant


@pytest.fixture
def operator(db: None) -> Client:
    made = Client()
    made.force_login(User.objects.create_superuser("operator"))
    return made


def act(operator: Client, tenant: Tenant, name: str) -> Any:
    return operator.post(reverse("admin:tenants_tenant_act", args=[tenant.pk, name]), follow=True)


def page(name: str, tenant: Tenant) -> str:
    return reverse(f"admin:tenants_tenant_{name}", args=[tenant.pk])


def test_the_buttons_suspend_and_resume(operator: Client, unique: Callable[[str], str]) -> None:
    tenant = Tenant.objects.create(slug=unique("t"), name="T")
    assert "was suspended" in act(operator, tenant, "suspend").content.decode()
    tenant.refresh_from_db()
    assert not tenant.is_active
    shown = operator.get(page("change", tenant)).content.decode()
    assert "/do/resume/" in shown
    assert "/do/suspend/" not in shown
    act(operator, tenant, "resume")
    tenant.refresh_from_db()
    assert tenant.is_active


@pytest.mark.slow
def test_a_worker_exports_and_the_page_says_where(
    operator: Client, source: Source, tmp_path: Path, settings: Any
) -> None:
    settings.MILLRACE_EXPORT_DIR = str(tmp_path)
    export_tenant(source.tenant.pk)
    shown = operator.get(page("change", source.tenant)).content.decode()
    assert f"{tmp_path}/{source.tenant.slug}-2" in shown


@pytest.mark.slow
def test_a_person_is_erased_after_a_look(operator: Client, source: Source) -> None:
    address = page("erase", source.tenant)
    assert operator.get(address).status_code == 200
    asked = {"column": "who", "value": "ann", "table": ""}
    shown = operator.post(address, asked | {"do": "preview"}).content.decode()
    assert "3 rows would be erased" in shown
    assert "3 rows were erased" in operator.post(address, asked | {"do": "erase"}).content.decode()
    assert "No row has this value" in operator.post(address, asked).content.decode()
    wrong = operator.post(address, asked | {"column": "<b>"}).content.decode()
    assert "&lt;b&gt;" in wrong
    history = operator.get(page("history", source.tenant)).content.decode()
    assert "Erased 3 rows by who" in history
    assert "ann" not in history


@pytest.mark.slow
def test_a_tenant_is_deleted_when_its_slug_is_typed(
    operator: Client, source: Source, valkey: str
) -> None:
    tenant = source.tenant
    address = page("remove", tenant)
    assert "3 rows of events" in operator.get(address).content.decode()
    assert "type its slug" in operator.post(address, {"confirmation": "x"}).content.decode()
    assert Tenant.objects.exists()
    done = operator.post(address, {"confirmation": tenant.slug}).content.decode()
    assert f"{tenant.slug} was deleted. Nothing is left." in done
    assert not Tenant.objects.exists()
    assert operator.get(address).status_code == 404


def test_none_but_an_operator_sees_or_uses_them(unique: Callable[[str], str], db: None) -> None:
    tenant = Tenant.objects.create(slug=unique("t"), name="T")
    staff = User.objects.create_user("staff", is_staff=True)
    staff.user_permissions.set(Permission.objects.filter(content_type__app_label="tenants"))
    member = Client()
    member.force_login(staff)
    for name in ("erase", "remove"):
        assert member.get(page(name, tenant)).status_code in {403, 404}
        answer = member.post(page(name, tenant), {"confirmation": tenant.slug, "do": "erase"})
        assert answer.status_code in {403, 404}
    for name in ("suspend", "resume", "export"):
        assert act(member, tenant, name).status_code in {403, 404}
    tenant.refresh_from_db()
    assert tenant.is_active
