"""Making, changing, rotating and revoking a tenant's API keys."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from django.db import transaction
from django.utils import timezone

from tenants.audit import record
from tenants.key_format import generate
from tenants.models import APIKey, Tenant
from tenants.models.key import TOKEN_SECONDS
from tenants.rights import Rights, RightsRefused, checked, of
from tenants.tokens.signing import new_signing_secret, read_public_key

if TYPE_CHECKING:
    from django.contrib.auth.models import User

#: For how long a rotated key goes on, unless somebody says otherwise.
OVERLAP = timedelta(days=1)


@dataclass(frozen=True)
class RotatedKey:
    """A successor: its row, its text, and the secret of its tokens or ''."""

    key: APIKey
    plaintext: str = field(repr=False)
    signing_secret: str = field(repr=False)


class KeyStateRefused(ValueError):
    """What can't be done with a key in the state that it is in."""


def create_key(
    tenant: Tenant,
    name: str,
    *,
    scopes: Sequence[str] = (),
    expires_at: datetime | None = None,
    created_by: User | None = None,
    rights: Rights | None = None,
) -> tuple[APIKey, str]:
    """Make a key; returns its row and its text, which can't be had again.

    What it may do is said by ``rights``, or by ``scopes`` (DEFAULT_SCOPES) and ``expires_at``
    alone. Raises RightsRefused, a ValueError, which says what is wrong with them.
    """
    wanted = rights or Rights(tuple(scopes) or Rights().scopes, expires_at)
    return _insert(tenant, name, checked(wanted, tenant), created_by=created_by)


def create_signing_key(
    tenant: Tenant,
    name: str,
    *,
    rights: Rights,
    by_secret: bool = False,
    public_key: str = "",
    token_seconds: int = TOKEN_SECONDS,
    created_by: User | None = None,
) -> tuple[APIKey, str, str]:
    """Make a key that may sign tokens, of rights in their usual form.

    ``by_secret`` gives it a secret (HS256), ``public_key`` takes that one (EdDSA); at most one of
    them. Returns the row, its text, and the secret or ''; both are had only here. Raises
    RightsRefused.
    """
    if by_secret and public_key:
        msg = "Tokens are signed by a secret or by a private key, not by either. Choose one."
        raise RightsRefused("public_key", msg)
    secret = new_signing_secret() if by_secret else ""
    row, text = _insert(
        tenant,
        name,
        rights,
        signing_secret=secret,
        public_key=read_public_key(public_key) if public_key else "",
        token_seconds=token_seconds,
        created_by=created_by,
    )
    return row, text, secret


def _insert(tenant: Tenant, name: str, rights: Rights, **further: Any) -> tuple[APIKey, str]:
    new = generate()
    with transaction.atomic():
        row = APIKey.objects.create(
            tenant=tenant,
            name=name,
            prefix=new.prefix,
            sha256=new.sha256,
            **rights.columns(),
            **further,
        )
        record("key.create", row, tenant=tenant, detail=_said(rights))
    return row, new.plaintext


def _said(rights: Rights) -> dict[str, object]:
    """The rights as the audit log has them."""
    return {name: value for name, value in rights.columns().items() if value}


def change_key(key: APIKey, rights: Rights) -> None:
    """Give a key other rights, from now on; raises RightsRefused."""
    given = checked(rights, key.tenant)
    with transaction.atomic():
        _store(key, **given.columns())
        record("key.change", key, tenant=key.tenant, detail=_said(given))


def rotate_key(
    key: APIKey,
    *,
    overlap: timedelta = OVERLAP,
    rights: Rights | None = None,
    created_by: User | None = None,
) -> RotatedKey:
    """Make a successor with the same rights; the key itself goes on for ``overlap``, then ends.

    Tokens are signed anew: a successor whose tokens are HS256 has a secret of its own, and one
    with a public key the same. ``rights`` are the successor's where they are to be others, in
    their usual form. Raises KeyStateRefused where the key has ended or has a successor.
    """
    now = timezone.now()
    with transaction.atomic():
        locked = APIKey.across_tenants.select_for_update().select_related("tenant").get(pk=key.pk)
        _check_rotation(locked, now)
        secret = new_signing_secret() if locked.signing_secret else ""
        row, text = _insert(
            locked.tenant,
            locked.name,
            rights or of(locked),
            created_by=created_by,
            signing_secret=secret,
            public_key=locked.public_key,
            token_seconds=locked.token_seconds,
        )
        ends = now + overlap
        _store(key, replaced_by=row, expires_at=min(ends, locked.expires_at or ends))
        detail: dict[str, object] = {"successor": row.prefix, "ends": key.expires_at}
        record("key.rotate", key, tenant=locked.tenant, detail=detail)
    return RotatedKey(row, text, secret)


def _check_rotation(key: APIKey, now: datetime) -> None:
    if not key.is_usable(now):
        msg = f"{key} is revoked or expired. Make a new key."
        raise KeyStateRefused(msg)
    if key.replaced_by is not None:
        msg = f"{key} was rotated before: its successor is {key.replaced_by}."
        raise KeyStateRefused(msg)


def revoke_key(key: APIKey) -> None:
    """Refuse the key, and its tokens, from now on; it is noticed everywhere within a second."""
    with transaction.atomic():
        rows = APIKey.across_tenants.filter(pk=key.pk, revoked_at=None)
        if rows.update(revoked_at=timezone.now()):
            record("key.revoke", key, tenant=key.tenant)
    key.refresh_from_db(fields=["revoked_at"])


def _store(key: APIKey, **columns: Any) -> None:
    for name, value in columns.items():
        setattr(key, name, value)
    key.save(update_fields=list(columns))
