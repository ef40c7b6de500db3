"""API keys: their form, what is kept of them, and what is encrypted."""

from __future__ import annotations

import hashlib
import io
import string
from collections.abc import Callable
from datetime import timedelta

import pytest
from cryptography.fernet import Fernet
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from ingestion.models import Connection
from tenants import keys
from tenants.api.recent import Recent
from tenants.models import APIKey, Tenant


@pytest.fixture
def tenant(db: None, unique: Callable[[str], str]) -> Tenant:
    return Tenant.objects.create(slug=unique("acme"), name="Acme")


def test_a_key_has_a_prefix_a_secret_and_a_checksum() -> None:
    new = keys.generate()
    mark, prefix, secret, checksum = new.plaintext.split("_")
    assert (mark, prefix) == ("mr", new.prefix)
    assert [len(part) for part in (prefix, secret, checksum)] == [10, 32, 6]
    assert set(prefix + secret + checksum) <= set(string.ascii_letters + string.digits)
    assert new.sha256 == hashlib.sha256(new.plaintext.encode()).digest()
    parsed = keys.parse(new.plaintext)
    assert parsed is not None
    assert (parsed.prefix, parsed.sha256) == (new.prefix, new.sha256)


def test_every_single_mistyped_character_is_noticed_without_a_look_up() -> None:
    text = keys.generate().plaintext
    for at in range(len(text)):
        other = "A" if text[at] != "A" else "B"
        assert keys.parse(text[:at] + other + text[at + 1 :]) is None, at


@pytest.mark.parametrize("text", ["", "mr_", "Bearer x", "mr_" + "a" * 50, "ä" * 40, "mr_\n"])
def test_other_text_is_no_key(text: str) -> None:
    assert keys.parse(text) is None


def test_keys_do_not_show_themselves() -> None:
    new = keys.generate()
    assert new.plaintext not in repr(new)


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
    with pytest.raises(ValueError, match="no scope admin"):
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
    parsed = keys.parse(text)
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


# --- Secrets at rest --------------------------------------------------------------------------


def test_a_password_is_encrypted_at_rest(tenant: Tenant) -> None:
    made = Connection.objects.create(
        tenant=tenant, name="c", kind="kafka", addresses="a:1", password="hunter2-very-secret"
    )
    with connection.cursor() as cursor:
        cursor.execute("SELECT password FROM ingestion_connection WHERE id = %s", [made.pk])
        stored = cursor.fetchone()[0]
    assert "hunter2" not in stored
    assert Connection.objects.get(pk=made.pk).password == "hunter2-very-secret"


def test_keys_rotate_and_a_lost_one_is_said(tenant: Tenant, settings) -> None:
    old, new = Fernet.generate_key().decode(), Fernet.generate_key().decode()
    settings.MILLRACE_ENCRYPTION_KEYS = [old]
    made = Connection.objects.create(
        tenant=tenant, name="c", kind="kafka", addresses="a:1", password="secret"
    )
    settings.MILLRACE_ENCRYPTION_KEYS = [new, old]
    read = Connection.objects.get(pk=made.pk)
    assert read.password == "secret"
    read.save()
    settings.MILLRACE_ENCRYPTION_KEYS = [new]
    assert Connection.objects.get(pk=made.pk).password == "secret"
    settings.MILLRACE_ENCRYPTION_KEYS = [old]
    with pytest.raises(ImproperlyConfigured, match="Put the old key back"):
        Connection.objects.get(pk=made.pk)


# --- Short memory -----------------------------------------------------------------------------


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
