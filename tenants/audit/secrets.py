"""What no entry may hold: passwords, keys, and whatever is encrypted at rest."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from typing import Any

from django.db.models import Model

from tenants.crypto import EncryptedTextField

HIDDEN = "[hidden]"
#: Names of values that are secret wherever they stand.
_SECRET_NAME = re.compile(
    r"pass(word|phrase|wd)|secret|plaintext|private|credential|client_key|(^|_)token$|api_?key$"
    r"|authorization|sha256",
    re.IGNORECASE,
)
#: The text of an API key, and anything that looks like a signed token or a PEM key.
_SECRET_TEXT = re.compile(
    r"mr_[0-9A-Za-z]{4,16}_[0-9A-Za-z_]{16,}"
    r"|eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]{8,}"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(-----END [A-Z ]*PRIVATE KEY-----|\Z)"
)
#: A stored secret shorter than this is not looked for in texts: it would be found everywhere.
_LEAST = 4


def without_secrets(value: Any, target: Model | None = None) -> Any:
    """``value`` as JSON can hold it, with every secret replaced by ``[hidden]``."""
    return _clean(value, _stored(target))


def _stored(target: Model | None) -> list[str]:
    """Values of the target's encrypted fields, the longest first."""
    if target is None:
        return []
    fields = [one for one in target._meta.fields if isinstance(one, EncryptedTextField)]
    loaded = [one for one in fields if one.attname not in target.get_deferred_fields()]
    texts = [str(getattr(target, one.attname) or "") for one in loaded]
    return sorted((one for one in texts if len(one) >= _LEAST), key=len, reverse=True)


def _clean(value: Any, stored: list[str]) -> Any:
    if isinstance(value, Mapping):
        return {
            str(name): HIDDEN if _is_secret(str(name), one) else _clean(one, stored)
            for name, one in value.items()
        }
    if isinstance(value, list | tuple | set | frozenset):
        return [_clean(one, stored) for one in value]
    if value is None or isinstance(value, bool | int | float):
        return value
    text = value.isoformat() if isinstance(value, date) else str(value)
    for secret in stored:
        text = text.replace(secret, HIDDEN)
    return _SECRET_TEXT.sub(HIDDEN, text)


def _is_secret(name: str, value: Any) -> bool:
    """A switch or a count named like a secret is none."""
    return bool(_SECRET_NAME.search(name)) and not isinstance(value, bool | int | float | None)
