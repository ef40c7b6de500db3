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
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from django.utils import timezone

from tenants.models import APIKey, Scope, Tenant

if TYPE_CHECKING:
    from django.contrib.auth.models import User

_ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
_PREFIX, _SECRET, _CHECKSUM = 10, 32, 6
_FORM = re.compile(
    rf"mr_([0-9A-Za-z]{{{_PREFIX}}})_[0-9A-Za-z]{{{_SECRET}}}_([0-9A-Za-z]{{{_CHECKSUM}}})\Z"
)


@dataclass(frozen=True)
class NewKey:
    """A key just made. ``plaintext`` is shown once and never kept; ``sha256`` is."""

    plaintext: str
    prefix: str
    sha256: bytes

    def __repr__(self) -> str:
        return f"NewKey(mr_{self.prefix}…)"


@dataclass(frozen=True)
class ParsedKey:
    """A key as it came, with the right form and checksum; whether it is known is not said."""

    prefix: str
    sha256: bytes


def generate() -> NewKey:
    prefix, secret = _random(_PREFIX), _random(_SECRET)
    body = f"mr_{prefix}_{secret}"
    plaintext = f"{body}_{_checksum(body)}"
    return NewKey(plaintext, prefix, hashlib.sha256(plaintext.encode()).digest())


def parse(text: str) -> ParsedKey | None:
    """The key in ``text``, or None where form or checksum is not a key's."""
    found = _FORM.match(text)
    if found is None or _checksum(text[: -_CHECKSUM - 1]) != found[2]:
        return None
    return ParsedKey(found[1], hashlib.sha256(text.encode()).digest())


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
) -> tuple[APIKey, str]:
    """Make a key; returns its row and its text, which can't be had again.

    Without ``scopes`` it has all. Raises ValueError for a scope that does not exist.
    """
    unknown = set(scopes) - set(Scope.values)
    if unknown:
        msg = f"There is no scope {', '.join(sorted(unknown))}. These are: {', '.join(Scope)}."
        raise ValueError(msg)
    new = generate()
    row = APIKey.objects.create(
        tenant=tenant,
        name=name,
        prefix=new.prefix,
        sha256=new.sha256,
        scopes=list(scopes) or list(Scope.values),
        expires_at=expires_at,
        created_by=created_by,
    )
    return row, new.plaintext


def revoke_key(key: APIKey) -> None:
    """Refuse the key from now on; callers that have it cached notice within a second."""
    APIKey.objects.filter(pk=key.pk, revoked_at=None).update(revoked_at=timezone.now())
    key.refresh_from_db(fields=["revoked_at"])
