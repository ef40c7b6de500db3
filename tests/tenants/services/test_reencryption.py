"""Secrets at rest are encrypted anew by the newest key, and old keys can be dropped."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import override_settings

from ingestion.models import Connection
from tenants.crypto import EncryptedTextField
from tenants.models import Tenant, Warehouse
from tenants.services import reencryption

OLD, NEW = Fernet.generate_key().decode(), Fernet.generate_key().decode()


@pytest.fixture
def stored(db: None, unique: Callable[[str], str]) -> list[Connection]:
    """Secrets of two kinds by the old key, and rows without any."""
    with override_settings(MILLRACE_ENCRYPTION_KEYS=[OLD]):
        tenant = Tenant.objects.create(slug=unique("t"), name="T")
        Warehouse.objects.create(tenant=tenant, database="a", username="a", password="w")
        return [
            Connection.objects.create(
                tenant=tenant, name=f"c{n}", kind="kafka", addresses="a:1", password="p" * n
            )
            for n in range(5)
        ]


def keys(*given: str) -> Any:
    return override_settings(MILLRACE_ENCRYPTION_KEYS=list(given))


def used() -> dict[str, int]:
    return {
        key: sum(counts[key] for counts in reencryption.in_use().values())
        for key in (reencryption.key_id(OLD), reencryption.key_id(NEW), reencryption.UNKNOWN)
    }


def test_after_a_rotation_the_old_key_can_be_dropped(
    stored: list[Connection], capsys: pytest.CaptureFixture[str]
) -> None:
    with keys(NEW, OLD):
        assert list(used().values()) == [5, 0, 0]
        call_command("rotate_secrets", "--check")
        assert f"key 2 ({reencryption.key_id(OLD)}): 5 secrets" in capsys.readouterr().out
        call_command("rotate_secrets")
        assert list(used().values()) == [0, 5, 0]
        call_command("rotate_secrets")
        assert "ingestion.Connection.password: 0 re-encrypted" in capsys.readouterr().out
    with keys(NEW):
        assert [one.password for one in Connection.objects.order_by("name")] == [
            "p" * n for n in range(5)
        ]
        assert Warehouse.objects.get().password == "w"
        call_command("rotate_secrets", "--check")
    assert OLD not in capsys.readouterr().out


def test_one_that_stopped_in_the_middle_is_finished_by_the_next(
    stored: list[Connection], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reencryption, "BATCH", 2)
    seen = []
    real = reencryption.decrypt

    def dies(token: str) -> str:
        seen.append(token)
        if len(seen) == 3:
            raise KeyboardInterrupt
        return real(token)

    with keys(NEW, OLD):
        with monkeypatch.context() as patched:
            patched.setattr(reencryption, "decrypt", dies)
            with pytest.raises(KeyboardInterrupt):
                reencryption.rotate()
        assert list(used().values()) == [3, 2, 0]
        reencryption.rotate()
        assert list(used().values()) == [0, 5, 0]


def test_a_secret_stored_meanwhile_is_not_overwritten(
    stored: list[Connection], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = reencryption.decrypt

    def changes(token: str) -> str:
        Connection.objects.filter(name="c3").update(password="newer")
        return real(token)

    with keys(NEW, OLD):
        monkeypatch.setattr(reencryption, "decrypt", changes)
        reencryption.rotate()
        assert Connection.objects.get(name="c3").password == "newer"


def test_what_no_key_opens_is_told_and_left(stored: list[Connection]) -> None:
    with keys(NEW):
        for arguments in ((), ("--check",)):
            with pytest.raises(CommandError, match="5 secrets"):
                call_command("rotate_secrets", *arguments)
    with keys(NEW, OLD):
        reencryption.rotate()
        assert list(used().values()) == [0, 5, 0]


def test_every_encrypted_field_is_found_and_encrypted_in_the_database(
    stored: list[Connection],
) -> None:
    found = {f"{model._meta.label}.{name}" for model, name in reencryption.fields()}
    assert found >= {
        "tenants.Warehouse.password",
        "ingestion.Connection.password",
        "ingestion.Connection.client_key",
    }
    for model, name in reencryption.fields():
        assert isinstance(model._meta.get_field(name), EncryptedTextField)
    with connection.cursor() as cursor:
        cursor.execute("SELECT password FROM ingestion_connection WHERE password <> ''")
        assert all(token.startswith("gAAAA") for (token,) in cursor.fetchall())
