"""Passwords and keys, random for each installation, in a file that only its owner can read."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from pathlib import Path

from cryptography.fernet import Fernet

from millrace.embedded import files

_FILE = "secrets.json"


def _password() -> str:
    # Hexadecimal, so that it needs no quoting in a URL or in any service's configuration.
    return secrets.token_hex(20)


_MAKERS: dict[str, Callable[[], str]] = {
    "secret_key": lambda: secrets.token_hex(32),
    "encryption_key": lambda: Fernet.generate_key().decode(),
    "postgres": _password,
    "postgres_superuser": _password,
    "clickhouse": _password,
    "valkey": _password,
    "rabbitmq": _password,
    "supervisor": _password,
    "admin": lambda: secrets.token_urlsafe(12),
}


def read(home: Path) -> dict[str, str]:
    """The installation's secrets. Generates missing ones; safe to call from many processes."""
    known: dict[str, str] = files.read_json(home / _FILE)
    if all(name in known for name in _MAKERS):
        return known
    with files.locked(home / ".secrets.lock"):
        known = files.read_json(home / _FILE)
        known = {name: make() for name, make in _MAKERS.items()} | known
        files.write_json(home / _FILE, known)
    return known
