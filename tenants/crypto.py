"""Secrets at rest: text encrypted with Fernet (https://cryptography.io/en/latest/fernet/).

The keys are ``settings.MILLRACE_ENCRYPTION_KEYS``, newest first. The first key encrypts; all keys
decrypt. To rotate, put a new key in front and save every secret again.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import models


@lru_cache(maxsize=4)
def _fernet(keys: tuple[str, ...]) -> MultiFernet:
    if not keys:
        msg = "MILLRACE_ENCRYPTION_KEYS is empty: set it to one or more Fernet keys."
        raise ImproperlyConfigured(msg)
    return MultiFernet([Fernet(key) for key in keys])


def encrypt(text: str) -> str:
    return _fernet(tuple(settings.MILLRACE_ENCRYPTION_KEYS)).encrypt(text.encode()).decode()


def decrypt(token: str) -> str:
    """The plaintext of ``token``; raises ImproperlyConfigured if none of our keys decrypts it."""
    try:
        return _fernet(tuple(settings.MILLRACE_ENCRYPTION_KEYS)).decrypt(token.encode()).decode()
    except InvalidToken:
        msg = (
            "A stored secret is encrypted with a key that MILLRACE_ENCRYPTION_KEYS no longer has. "
            "Put the old key back at the end of the list, or enter the secret again."
        )
        raise ImproperlyConfigured(msg) from None


class EncryptedTextField(models.TextField):  # type: ignore[type-arg]
    """Text that is stored encrypted. Queries can filter only by whether it is empty."""

    def get_prep_value(self, value: Any) -> Any:
        text = super().get_prep_value(value)
        return encrypt(text) if text else text

    def from_db_value(self, value: str | None, *_: object) -> str | None:
        return decrypt(value) if value else value
