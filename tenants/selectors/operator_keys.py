from __future__ import annotations

from datetime import timedelta

from django.utils import timezone

from tenants.key_format import OPERATOR_BEGINNING, digest, parse
from tenants.models import OperatorKey

#: While a key is in use, ``last_used_at`` is at most this old.
_USED_EVERY = timedelta(minutes=1)


def find_operator_key(text: str) -> OperatorKey | None:
    """The key in ``text``; None if it is malformed, unknown, revoked or expired."""
    if not text.startswith(OPERATOR_BEGINNING) or parse(text[len(OPERATOR_BEGINNING) :]) is None:
        return None
    row = OperatorKey.objects.filter(sha256=digest(text)).first()
    now = timezone.now()
    if row is None or not row.is_usable(now):
        return None
    if row.last_used_at is None or row.last_used_at < now - _USED_EVERY:
        OperatorKey.objects.filter(pk=row.pk).update(last_used_at=now)
    return row
