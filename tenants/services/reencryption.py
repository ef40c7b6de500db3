"""Re-encrypting every secret at rest by the newest key, so that older keys can be dropped.

Fields are found by walking the models, so that a new one is covered. Each row is one statement
that holds only while nobody has stored another secret; to stop anywhere and begin again is safe.
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

#: Rows that are read at once.
BATCH = 500
#: In place of a key's id: no key of ours opens it.
UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class ReencryptedField:
    """Of one field: secrets encrypted anew, and those that no key of ours opens."""

    field: str
    rotated: int
    lost: int


def fields() -> list[tuple[type[Model], str]]:
    """Every encrypted field that there is."""
    return [
        (model, field.name)
        for model in apps.get_models()
        for field in model._meta.local_concrete_fields
        if isinstance(field, EncryptedTextField)
    ]


def key_id(key: str) -> str:
    """A key's name, that says nothing about it: the beginning of its SHA-256."""
    return hashlib.sha256(key.encode()).hexdigest()[:8]


def in_use() -> dict[str, Counter[str]]:
    """By field: how many secrets each key has encrypted, by the key's id."""
    keys: Sequence[str] = settings.MILLRACE_ENCRYPTION_KEYS
    found = {}
    for model, name in fields():
        opened = (_opened_by(token, keys) for _, token in _tokens(model, name))
        found[f"{model._meta.label}.{name}"] = Counter(opened)
    return found


def rotate() -> list[ReencryptedField]:
    """Encrypt by the newest key all that is not yet."""
    done = [_rotate(model, name) for model, name in fields()]
    counted: dict[str, object] = {one.field: one.rotated for one in done if one.rotated}
    if counted:
        record("secrets.rotate", None, tenant=None, detail=counted)
    return done


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
    """What stands in the database, in the order of the rows, batch by batch."""
    rows = model._base_manager.annotate(token=_raw(name)).exclude(token="").exclude(token=None)
    last = None
    while True:
        page = rows if last is None else rows.filter(pk__gt=last)
        found = list(page.order_by("pk").values_list("pk", "token")[:BATCH])
        yield from found
        if len(found) < BATCH:
            return
        last = found[-1][0]


def _raw(name: str) -> Func:
    """The field as it is stored: an expression of another type is not decrypted."""
    return Func(F(name), template="%(expressions)s", output_field=TextField())


def _opened_by(token: str, keys: Sequence[str]) -> str:
    for key in keys:
        try:
            Fernet(key).decrypt(token.encode())
        except InvalidToken:
            continue
        return key_id(key)
    return UNKNOWN
