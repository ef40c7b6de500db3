"""API keys: how they look, and how they are made, revoked and found.

    mr_<prefix, 10>_<secret, 32>_<checksum, 6>

All base 62. The prefix may be shown and searched for; the secret has 190 bits; the checksum is
the CRC-32 of what stands before it, so that a mistyped key is refused without a look-up, and
scanners of leaked secrets can tell a key from other text. Only the SHA-256 of the whole is kept:
a fast hash is enough for a secret that nobody can guess.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import string
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from django.db import transaction
from django.utils import timezone

from tenants.audit import record
from tenants.models import APIKey, Tenant
from tenants.models.key import TOKEN_SECONDS
from tenants.rights import Rights, RightsRefused, checked, of
from tenants.tokens.signing import new_signing_secret, read_public_key

if TYPE_CHECKING:
    from django.contrib.auth.models import User

_ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
_PREFIX, _SECRET, _CHECKSUM = 10, 32, 6
_FORM = re.compile(
    rf"mr_([0-9A-Za-z]{{{_PREFIX}}})_[0-9A-Za-z]{{{_SECRET}}}_([0-9A-Za-z]{{{_CHECKSUM}}})\Z"
)

#: For how long a rotated key goes on, unless somebody says otherwise.
OVERLAP = timedelta(days=1)


@dataclass(frozen=True)
class NewKey:
    """A key just made. ``plaintext`` is shown once and never kept; ``sha256`` is."""

    plaintext: str
    prefix: str
    sha256: bytes

    def __repr__(self) -> str:
        return f"NewKey(mr_{self.prefix}…)"


@dataclass(frozen=True)
class Rotated:
    """A successor: its row, its text, and the secret of its tokens or ''."""

    key: APIKey
    plaintext: str = field(repr=False)
    signing_secret: str = field(repr=False)


class KeyStateRefused(ValueError):
    """What can't be done with a key in the state that it is in."""


@dataclass(frozen=True)
class ParsedKey:
    """A key as it came, with the right form and checksum; whether it is known is not said."""

    prefix: str
    sha256: bytes


def generate() -> NewKey:
    prefix, secret = _random(_PREFIX), _random(_SECRET)
    body = f"mr_{prefix}_{secret}"
    plaintext = f"{body}_{_checksum(body)}"
    return NewKey(plaintext, prefix, digest(plaintext))


def digest(text: str) -> bytes:
    """The SHA-256 that is kept of a key."""
    return hashlib.sha256(text.encode()).digest()


def parse(text: str) -> ParsedKey | None:
    """The key in ``text``, or None where form or checksum is not a key's."""
    found = _FORM.match(text)
    if found is None or _checksum(text[: -_CHECKSUM - 1]) != found[2]:
        return None
    return ParsedKey(found[1], digest(text))


def _random(length: int) -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))


def _checksum(body: str) -> str:
    number = zlib.crc32(body.encode())
    digits = ""
    for _ in range(_CHECKSUM):
        number, digit = divmod(number, 62)
        digits = _ALPHABET[digit] + digits
    return digits


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
) -> Rotated:
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
    return Rotated(row, text, secret)


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
