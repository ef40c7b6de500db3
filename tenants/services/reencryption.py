"""Re-encrypts every secret at rest with the newest key, so that older keys can be removed.

It finds the fields by walking the models, so new fields are covered. Each row is updated by one
statement, and only if the stored secret has not changed meanwhile. It is safe to stop anywhere and
start again.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from cryptography.fernet import Fernet, InvalidToken
from django.apps import apps
from django.conf import settings
from django.db.models import F, Func, Model, TextField

from tenants.audit import record
from tenants.crypto import EncryptedTextField, decrypt

#: Rows read at a time.
BATCH = 500
#: Stands for a key's id if none of our keys decrypts the secret.
UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class ReencryptedField:
    """The result for one field: secrets re-encrypted, and secrets that no key of ours decrypts."""

    field: str
    rotated: int
    lost: int


def fields() -> list[tuple[type[Model], str]]:
    """All encrypted fields of all models."""
    return [
        (model, field.name)
        for model in apps.get_models()
        for field in model._meta.local_concrete_fields
        if isinstance(field, EncryptedTextField)
    ]


def key_id(key: str) -> str:
    """An id that does not reveal the key: the beginning of its SHA-256."""
    return hashlib.sha256(key.encode()).hexdigest()[:8]


def in_use() -> dict[str, Counter[str]]:
    """How many secrets each key encrypts: counts by key id, by field."""
    keys: Sequence[str] = settings.MILLRACE_ENCRYPTION_KEYS
    counts = {}
    for model, name in fields():
        key_ids = (_opened_by(token, keys) for _, token in _tokens(model, name))
        counts[f"{model._meta.label}.{name}"] = Counter(key_ids)
    return counts


def rotate() -> list[ReencryptedField]:
    """Encrypt every secret with the newest key, unless it already is."""
    results = [_rotate(model, name) for model, name in fields()]
    detail: dict[str, object] = {
        result.field: result.rotated for result in results if result.rotated
    }
    if detail:
        record("secrets.rotate", None, tenant=None, detail=detail)
    return results


def _rotate(model: type[Model], name: str) -> ReencryptedField:
    keys: Sequence[str] = settings.MILLRACE_ENCRYPTION_KEYS
    done = lost = 0
    for pk, token in _tokens(model, name):
        opened = _opened_by(token, keys)
        lost += opened == UNKNOWN
        if opened in {UNKNOWN, key_id(keys[0])}:
            continue
        unchanged = model._base_manager.annotate(token=_raw(name)).filter(pk=pk, token=token)
        done += unchanged.update(**{name: decrypt(token)})
    return ReencryptedField(f"{model._meta.label}.{name}", done, lost)


def _tokens(model: type[Model], name: str) -> Iterator[tuple[object, str]]:
    """The stored values with their primary keys, in that order, BATCH rows at a time."""
    rows = model._base_manager.annotate(token=_raw(name)).exclude(token="").exclude(token=None)
    last = None
    while True:
        page = rows if last is None else rows.filter(pk__gt=last)
        tokens = list(page.order_by("pk").values_list("pk", "token")[:BATCH])
        yield from tokens
        if len(tokens) < BATCH:
            return
        last = tokens[-1][0]


def _raw(name: str) -> Func:
    """The field as stored: an expression with another output field is not decrypted."""
    return Func(F(name), template="%(expressions)s", output_field=TextField())


def _opened_by(token: str, keys: Sequence[str]) -> str:
    for key in keys:
        try:
            Fernet(key).decrypt(token.encode())
        except InvalidToken:
            continue
        return key_id(key)
    return UNKNOWN
