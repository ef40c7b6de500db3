"""Creates, changes, rotates and revokes a tenant's API keys."""

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

#: How long a rotated key stays valid by default.
OVERLAP = timedelta(days=1)


@dataclass(frozen=True)
class RotatedKey:
    """A successor: its row, its text, and the secret that signs its tokens or ''."""

    key: APIKey
    plaintext: str = field(repr=False)
    signing_secret: str = field(repr=False)


class KeyStateRefused(ValueError):
    """The key's state does not allow the operation."""


def create_key(
    tenant: Tenant,
    name: str,
    *,
    scopes: Sequence[str] = (),
    expires_at: datetime | None = None,
    created_by: User | None = None,
    rights: Rights | None = None,
) -> tuple[APIKey, str]:
    """Create a key; returns its row and its text, which is not available later.

    Pass either ``rights``, or ``scopes`` (default: DEFAULT_SCOPES) and ``expires_at``. Raises
    RightsRefused, a ValueError, which says what is wrong with them.
    """
    requested = rights or Rights(tuple(scopes) or Rights().scopes, expires_at)
    return _insert(tenant, name, checked(requested, tenant), created_by=created_by)


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
    """Create a key that can sign tokens; ``rights`` must be in normal form.

    ``by_secret`` creates a secret (HS256); ``public_key`` is the caller's own (EdDSA). Use at most
    one of them. Returns the row, its text, and the secret or ''; text and secret are not available
    later. Raises RightsRefused.
    """
    if by_secret and public_key:
        msg = "A key signs tokens with a secret or with a private key, not both. Choose one."
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
        record("key.create", row, tenant=tenant, detail=_detail(rights))
    return row, new.plaintext


def _detail(rights: Rights) -> dict[str, object]:
    """The rights for the audit log."""
    return {name: value for name, value in rights.columns().items() if value}


def change_key(key: APIKey, rights: Rights) -> None:
    """Replace the rights of a key; raises RightsRefused."""
    granted = checked(rights, key.tenant)
    with transaction.atomic():
        _store(key, **granted.columns())
        record("key.change", key, tenant=key.tenant, detail=_detail(granted))


def rotate_key(
    key: APIKey,
    *,
    overlap: timedelta = OVERLAP,
    rights: Rights | None = None,
    created_by: User | None = None,
) -> RotatedKey:
    """Create a successor with the same rights; the key itself ends after ``overlap``.

    The successor of an HS256 key gets a new secret; that of an EdDSA key keeps the public key.
    ``rights``, in normal form, replace the successor's rights. Raises KeyStateRefused if the key
    has ended or already has a successor.
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
        msg = f"{key} is revoked or expired. Create a new key."
        raise KeyStateRefused(msg)
    if key.replaced_by is not None:
        msg = f"{key} was already rotated. Its successor is {key.replaced_by}."
        raise KeyStateRefused(msg)


def revoke_key(key: APIKey) -> None:
    """Refuse the key and its tokens from now on; all processes notice within a second."""
    with transaction.atomic():
        rows = APIKey.across_tenants.filter(pk=key.pk, revoked_at=None)
        if rows.update(revoked_at=timezone.now()):
            record("key.revoke", key, tenant=key.tenant)
    key.refresh_from_db(fields=["revoked_at"])


def _store(key: APIKey, **columns: Any) -> None:
    for name, value in columns.items():
        setattr(key, name, value)
    key.save(update_fields=list(columns))
