"""Creates and revokes operators' keys."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction
from django.utils import timezone

from tenants.audit import record
from tenants.key_format import OPERATOR_BEGINNING, digest, generate
from tenants.models import OperatorKey


def create_operator_key(
    name: str, *, expires_at: datetime | None = None
) -> tuple[OperatorKey, str]:
    """Create a key; returns its row and its text, which is not available later."""
    new = generate()
    plaintext = OPERATOR_BEGINNING + new.plaintext
    with transaction.atomic():
        row = OperatorKey.objects.create(
            name=name, prefix=new.prefix, sha256=digest(plaintext), expires_at=expires_at
        )
        record("operator_key.make", row, tenant=None)
    return row, plaintext


def revoke_operator_key(prefix: str) -> bool:
    """Refuse the key from the next call on. Returns whether an active key has this prefix."""
    with transaction.atomic():
        row = OperatorKey.objects.filter(prefix=prefix, revoked_at=None).first()
        if row is None:
            return False
        OperatorKey.objects.filter(pk=row.pk).update(revoked_at=timezone.now())
        record("operator_key.revoke", row, tenant=None)
    return True
