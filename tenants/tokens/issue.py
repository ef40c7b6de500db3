from __future__ import annotations

import time
from typing import Any

import jwt

from tenants.models import APIKey


class NotIssued(ValueError):
    """Tokens of this key can't be issued here; the message says why."""


def issue(key: APIKey, seconds: int, claims: dict[str, Any]) -> str:
    """A token of ``key`` that lasts ``seconds``, as the tenant's backend would issue it.

    Raises NotIssued for a key without a secret: Millrace has only the public half of a key pair.
    """
    if not key.signing_secret:
        msg = "This key has no signing secret (HS256), so Millrace can't sign tokens for it."
        raise NotIssued(msg)
    now = int(time.time())
    payload = {"iat": now, "exp": now + seconds, **claims}
    return jwt.encode(payload, key.signing_secret, algorithm="HS256", headers={"kid": key.prefix})
