from __future__ import annotations

import time
from typing import Any

import jwt

from tenants.models import APIKey


class NotIssued(ValueError):
    """The key signs no tokens that can be made here; the words say why."""


def issue(key: APIKey, seconds: int, claims: dict[str, Any]) -> str:
    """A token of ``key`` that lasts ``seconds``, as the tenant's backend would make it.

    Raises NotIssued for a key that has no secret: of a key pair only the public half is here.
    """
    if not key.signing_secret:
        msg = "Only a key with a signing secret (HS256) can do that here."
        raise NotIssued(msg)
    now = int(time.time())
    payload = {"iat": now, "exp": now + seconds, **claims}
    return jwt.encode(payload, key.signing_secret, algorithm="HS256", headers={"kid": key.prefix})
