"""API keys: what is kept of them, and how they are made and revoked."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.core.exceptions import ValidationError
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from tenants import key_format
from tenants.models import APIKey, Tenant
from tenants.recent import Recent
from tenants.services import keys


@pytest.fixture
def tenant(db: None, unique: Callable[[str], str]) -> Tenant:
    return Tenant.objects.create(slug=unique("acme"), name="Acme")


def test_of_a_key_only_its_hash_is_kept(tenant: Tenant) -> None:
    row, plaintext = keys.create_key(tenant, "shop")
    with connection.cursor() as cursor:
        cursor.execute("SELECT to_jsonb(k)::text FROM tenants_apikey k WHERE id = %s", [row.pk])
        stored = cursor.fetchone()[0]
    assert plaintext not in stored
    assert plaintext.split("_")[2] not in stored
    assert hashlib.sha256(plaintext.encode()).hexdigest() in stored
    assert row.prefix in stored


def test_a_key_manages_only_where_it_says_so_and_unknown_scopes_are_refused(tenant: Tenant) -> None:
    row, _ = keys.create_key(tenant, "all")
    assert set(row.scopes) == {"queries:run", "events:write"}
    assert APIKey(tenant=tenant).scopes == row.scopes
    assert keys.create_key(tenant, "m", scopes=["manage"])[0].scopes == ["manage"]
    with pytest.raises(ValueError, match="Unknown scope: admin"):
        keys.create_key(tenant, "x", scopes=["admin"])
    with pytest.raises(IntegrityError, match="api_key_scopes_known"), transaction.atomic():
        APIKey.objects.filter(pk=row.pk).update(scopes=[])


def test_revoking_twice_keeps_the_first_time(tenant: Tenant) -> None:
    row, _ = keys.create_key(tenant, "x")
    keys.revoke_key(row)
    first = row.revoked_at
    keys.revoke_key(row)
    assert first is not None
    assert row.revoked_at == first
    assert not row.is_usable(timezone.now())


def test_the_command_prints_a_key_once_and_alone(tenant: Tenant) -> None:
    out, err = io.StringIO(), io.StringIO()
    call_command(
        "api_key",
        "create",
        tenant.slug,
        "--name=shop",
        "--scope=queries:run",
        "--expires=2099-01-31",
        stdout=out,
        stderr=err,
    )
    text = out.getvalue().strip()
    parsed = key_format.parse(text)
    assert parsed is not None
    row = APIKey.objects.get(prefix=parsed.prefix)
    assert (row.name, row.scopes) == ("shop", ["queries:run"])
    assert row.expires_at is not None
    assert row.expires_at.isoformat() == "2099-01-31T00:00:00+00:00"
    assert "can't be shown again" in err.getvalue()
    assert text not in err.getvalue()


def test_the_command_names_the_tenants_there_are(tenant: Tenant) -> None:
    with pytest.raises(CommandError, match=f"no tenant 'nobody'.*{tenant.slug}"):
        call_command("api_key", "create", "nobody")


@pytest.mark.parametrize("slug", ["Acme", "1acme", "a__b", "a_", "a-b", "", "a" * 41, "é"])
def test_slugs_that_can_name_no_database_are_refused(slug: str) -> None:
    with pytest.raises(ValidationError):
        Tenant(slug=slug, name="x").clean_fields()


def test_what_was_looked_up_is_forgotten_in_time() -> None:
    now, asked = [0.0], []
    recent: Recent[str, int] = Recent(0.5, clock=lambda: now[0])

    def look_up() -> int:
        asked.append(now[0])
        return len(asked)

    assert [recent.get("a", look_up), recent.get("a", look_up)] == [1, 1]
    now[0] = 0.49
    assert recent.get("a", look_up) == 1
    now[0] = 0.5
    assert recent.get("a", look_up) == 2
    recent.forget()
    assert recent.get("a", look_up) == 3


def test_the_age_of_what_was_looked_up_counts_from_before_the_look_up() -> None:
    now = [0.0]
    recent: Recent[str, float] = Recent(0.5, clock=lambda: now[0])

    def slow() -> float:
        began, now[0] = now[0], now[0] + 0.4
        return began

    assert recent.get("a", slow) == 0.0
    now[0] = 0.49
    assert "a" in recent
    now[0] = 0.5
    assert "a" not in recent


def test_an_expired_key_is_not_usable(tenant: Tenant) -> None:
    now = timezone.now()
    row, _ = keys.create_key(tenant, "x", expires_at=now + timedelta(seconds=1))
    assert row.is_usable(now)
    assert not row.is_usable(now + timedelta(seconds=1))
