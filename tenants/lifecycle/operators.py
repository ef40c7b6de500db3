"""Keys of operators: ``op_`` and then the form of a tenant's key (``tenants.keys``).

The hash covers ``op_`` too, and is looked up among operators' keys alone, so that neither kind can
stand in for the other.
"""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta

from django.db import transaction
from django.utils import timezone

from tenants import keys
from tenants.audit import record
from tenants.models import OperatorKey

_BEGINNING = "op_"
#: ``last_used_at`` is no older than this while a key is in use.
_USED_EVERY = timedelta(minutes=1)


def create_operator_key(
    name: str, *, expires_at: datetime | None = None
) -> tuple[OperatorKey, str]:
    """Make a key; returns its row and its text, which can't be had again."""
    new = keys.generate()
    plaintext = _BEGINNING + new.plaintext
    with transaction.atomic():
        row = OperatorKey.objects.create(
            name=name, prefix=new.prefix, sha256=_digest(plaintext), expires_at=expires_at
        )
        record("operator_key.make", row, tenant=None)
    return row, plaintext


def find_operator_key(text: str) -> OperatorKey | None:
    """The key in ``text``, unless it has another form, is unknown, revoked or expired."""
    if not text.startswith(_BEGINNING) or keys.parse(text[len(_BEGINNING) :]) is None:
        return None
    row = OperatorKey.objects.filter(sha256=_digest(text)).first()
    now = timezone.now()
    if row is None or not row.is_usable(now):
        return None
    if row.last_used_at is None or row.last_used_at < now - _USED_EVERY:
        OperatorKey.objects.filter(pk=row.pk).update(last_used_at=now)
    return row


def revoke_operator_key(prefix: str) -> bool:
    """Refuse the key from the next call on. Whether there was one to revoke."""
    with transaction.atomic():
        row = OperatorKey.objects.filter(prefix=prefix, revoked_at=None).first()
        if row is None:
            return False
        OperatorKey.objects.filter(pk=row.pk).update(revoked_at=timezone.now())
        record("operator_key.revoke", row, tenant=None)
    return True


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
