"""Secrets of an installation: made once, completed later, never replaced."""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from millrace.embedded import files, installation_secrets


def test_each_is_random_and_only_the_owner_can_read_them(tmp_path: Path) -> None:
    first, other = (installation_secrets.read(tmp_path / name) for name in "ab")
    assert len(set(first.values()) | set(other.values())) == 2 * len(first)
    assert stat.S_IMODE((tmp_path / "a" / "secrets.json").stat().st_mode) == 0o600


def test_a_password_of_a_service_needs_no_quoting_anywhere(tmp_path: Path) -> None:
    known = installation_secrets.read(tmp_path)
    for name in (
        "postgres",
        "postgres_superuser",
        "clickhouse",
        "valkey",
        "rabbitmq",
        "supervisor",
    ):
        assert re.fullmatch(r"[0-9a-f]{40}", known[name]), name
    Fernet(known["encryption_key"])


def test_a_secret_of_a_newer_version_is_added_and_the_others_stay(tmp_path: Path) -> None:
    first = installation_secrets.read(tmp_path)
    kept = {name: value for name, value in first.items() if name != "admin"}
    files.write_json(tmp_path / "secrets.json", kept | {"of a later version": "x"})
    completed = installation_secrets.read(tmp_path)
    assert completed == kept | {"of a later version": "x", "admin": completed["admin"]}
    assert completed["admin"] != first["admin"]
    assert installation_secrets.read(tmp_path) == completed


def test_who_waited_for_the_lock_takes_what_the_other_process_has_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[dict[str, str]] = []
    locked = files.locked

    @contextmanager
    def after_another(path: Path) -> Iterator[None]:
        if not made:
            made.append({})
            made[0] = installation_secrets.read(tmp_path)
        with locked(path):
            yield

    monkeypatch.setattr(files, "locked", after_another)
    assert installation_secrets.read(tmp_path) == made[0]
    assert files.read_json(tmp_path / "secrets.json") == made[0]
