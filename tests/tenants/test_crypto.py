from __future__ import annotations

from collections.abc import Callable

import pytest
from cryptography.fernet import Fernet
from django.core.exceptions import ImproperlyConfigured
from django.db import connection

from ingestion.models import Connection
from tenants.models import Tenant


@pytest.fixture
def tenant(db: None, unique: Callable[[str], str]) -> Tenant:
    return Tenant.objects.create(slug=unique("acme"), name="Acme")


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
