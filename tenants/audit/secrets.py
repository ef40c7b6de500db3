"""Removes secrets from entries: passwords, keys, and values that are encrypted at rest."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from typing import Any

from django.db.models import Model

from tenants.crypto import EncryptedTextField

HIDDEN = "[hidden]"
#: Names whose values are always secret.
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
#: Texts are not searched for stored secrets shorter than this, which would match everywhere.
_LEAST = 4


def without_secrets(value: Any, target: Model | None = None) -> Any:
    """``value`` as JSON-compatible data, with every secret replaced by ``[hidden]``."""
    return _clean(value, _stored(target))


def _stored(target: Model | None) -> list[str]:
    """The values of the target's encrypted fields, longest first."""
    if target is None:
        return []
    fields = [field for field in target._meta.fields if isinstance(field, EncryptedTextField)]
    loaded = [field for field in fields if field.attname not in target.get_deferred_fields()]
    texts = [str(getattr(target, field.attname) or "") for field in loaded]
    return sorted((text for text in texts if len(text) >= _LEAST), key=len, reverse=True)


def _clean(value: Any, stored: list[str]) -> Any:
    if isinstance(value, Mapping):
        return {
            str(name): HIDDEN if _is_secret(str(name), item) else _clean(item, stored)
            for name, item in value.items()
        }
    if isinstance(value, list | tuple | set | frozenset):
        return [_clean(item, stored) for item in value]
    if value is None or isinstance(value, bool | int | float):
        return value
    text = value.isoformat() if isinstance(value, date) else str(value)
    for secret in stored:
        text = text.replace(secret, HIDDEN)
    return _SECRET_TEXT.sub(HIDDEN, text)


def _is_secret(name: str, value: Any) -> bool:
    """Whether the name is a secret's; booleans and numbers never count as secrets."""
    return bool(_SECRET_NAME.search(name)) and not isinstance(value, bool | int | float | None)
