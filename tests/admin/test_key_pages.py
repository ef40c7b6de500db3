"""The admin's pages of API keys: made, restricted, rotated, and shown once."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from tenants import key_format
from tenants.models import APIKey, Tenant
from tenants.services import keys

ADD = "admin:tenants_apikey_add"


@pytest.fixture
def operator(db: None) -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("operator", password="x"))
    return client


@pytest.fixture
def tenant(db: None, unique: Callable[[str], str]) -> Tenant:
    return Tenant.objects.create(slug=unique("acme"), name="Acme")


def _form(tenant: Tenant, **more: Any) -> dict[str, Any]:
    return {
        "tenant": tenant.pk,
        "name": "browser",
        "scopes": ["queries:run"],
        "parameters": "{}",
        "row_filters": "{}",
        "token_seconds": "3600",
    } | more


def test_a_key_is_made_with_its_restrictions_and_a_secret_shown_once(
    operator: Client, tenant: Tenant
) -> None:
    assert b"Signed tokens" in operator.get(reverse(ADD)).content
    answer = operator.post(
        reverse(ADD),
        _form(
            tenant,
            queries="a, b\nc",
            networks="10.0.0.1",
            origins="https://shop.example.com/",
            parameters='{"customer": 7}',
            signing="HS256",
        ),
    )
    row = APIKey.objects.get(tenant=tenant)
    assert answer["Cache-Control"].startswith("no-store")
    text = answer.content.decode()
    assert row.signing_secret in text
    assert key_format.parse(re.search(r"mr_\w{10}_\w{32}_\w{6}", text)[0])  # type: ignore[index]
    assert (row.queries, row.networks) == (["a", "b", "c"], ["10.0.0.1/32"])
    assert (row.origins, row.parameters) == (["https://shop.example.com"], {"customer": 7})
    page = operator.get(reverse("admin:tenants_apikey_change", args=[row.pk])).content.decode()
    assert row.signing_secret not in page
    assert "Its secret (HS256)" in page


def test_what_is_wrong_stands_at_its_field(operator: Client, tenant: Tenant) -> None:
    for wrong, word in (
        ({"networks": "nonsense"}, "is not an IP address or a network"),
        ({"origins": "shop"}, "is not an origin"),
        ({"queries": "a/b"}, "is not a valid name"),
        ({"parameters": "[1]"}, "Give parameters as a JSON object"),
        ({"row_filters": '{"*": "1) OR (1"}'}, "brackets"),
        ({"signing": "EdDSA"}, "Enter the public key here"),
        ({"signing": "EdDSA", "public_key": "x"}, "not an Ed25519 public key"),
        ({"public_key": "x"}, "Choose EdDSA"),
        ({"token_seconds": "99999999"}, "less than or equal to"),
    ):
        answer = operator.post(reverse(ADD), _form(tenant, **wrong))
        assert answer.status_code == 200
        assert word in answer.content.decode(), wrong
    assert not APIKey.objects.exists()


def test_restrictions_can_be_changed_and_scopes_can_not(operator: Client, tenant: Tenant) -> None:
    row, _ = keys.create_key(tenant, "shop")
    address = reverse("admin:tenants_apikey_change", args=[row.pk])
    changed = {"name": "store", "queries": "a", "scopes": ["manage"], "token_seconds": "60"}
    answer = operator.post(address, {"parameters": "{}", "row_filters": "{}"} | changed)
    assert answer.status_code == 302
    row.refresh_from_db()
    assert (row.name, row.queries, row.token_seconds) == ("store", ["a"], 60)
    assert row.scopes == ["queries:run", "events:write"]


def test_rotating_asks_for_the_overlap_and_shows_the_successor_once(
    operator: Client, tenant: Tenant
) -> None:
    row, _ = keys.create_key(tenant, "shop")
    address = reverse("admin:tenants_apikey_rotate", args=[row.pk])
    assert (
        address.encode()
        in operator.get(reverse("admin:tenants_apikey_change", args=[row.pk])).content
    )
    assert b"The old key ends" in operator.post(address).content
    shown = operator.post(address, {"overlap": "3600"})
    row.refresh_from_db()
    assert row.replaced_by is not None
    assert f"mr_{row.replaced_by.prefix}_" in shown.content.decode()
    again = operator.post(address, {"overlap": "3600"})
    assert b"was already rotated" in again.content
    assert Client().post(address, {"overlap": "0"}).status_code == 302
