"""Migrations are complete, production settings are clean, and make knows its targets."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.management import call_command

from tests.documentation import ROOT

PRODUCTION = {
    "DATABASE_URL": "postgres://millrace:secret@db.example.com:5432/millrace",
    "CLICKHOUSE_URL": "https://millrace:secret@clickhouse.example.com:8443/",
    "CELERY_BROKER_URL": "amqps://millrace:secret@rabbitmq.example.com:5671//",
    "CACHE_URL": "rediss://:secret@cache.example.com:6379/0",
    "SECRET_KEY": "a-long-key-of-many-different-characters-0123456789-ABCDEFGHIJ",
    "MILLRACE_ENCRYPTION_KEYS": "Y2hhbmdlLW1lLWNoYW5nZS1tZS1jaGFuZ2UtbWUtISE=",
    "ALLOWED_HOSTS": "millrace.example.com",
}


def _check(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return subprocess.run(
        [sys.executable, "manage.py", "check", *arguments],
        cwd=ROOT,
        env=kept | {"MILLRACE_ENV_FILE": os.devnull, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_no_migration_is_missing(db: None) -> None:
    call_command("makemigrations", "--check", "--dry-run", verbosity=0)


def test_production_settings_pass_the_deployment_check(tmp_path: Path) -> None:
    done = _check(
        PRODUCTION | {"MILLRACE_HOME": str(tmp_path)}, "--deploy", "--fail-level", "WARNING"
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    "mistakes",
    [
        # No two of these touch the same setting, so one process may make them all.
        {
            "DEBUG": ("true", "millrace.E003"),
            "MILLRACE_ENCRYPTION_KEYS": ("", "millrace.E001"),
            "DATABASE_URL": ("sqlite:///:memory:", "millrace.E005"),
            "MILLRACE_LEASE_SECONDS": ("5", "millrace.W001"),
            "CLICKHOUSE_URL": ("http://a:b@c:8123/", "millrace.W002"),
            "MILLRACE_METRICS_TOKEN": ("prometheus", "millrace.W003"),
            "MILLRACE_WEB_THREADS": ("1", "millrace.E011"),
        },
        {
            "DATABASE_URL": ("", "millrace.E004"),
            "CLICKHOUSE_URL": ("", "millrace.E004"),
            "MILLRACE_ENCRYPTION_KEYS": ("short", "millrace.E002"),
            "GRANIAN_BLOCKING_THREADS": ("4", "millrace.E012"),
        },
    ],
    ids=["external services", "embedded services"],
)
def test_each_mistake_of_a_deployer_has_an_id_and_a_hint(
    mistakes: dict[str, tuple[str, str]], tmp_path: Path
) -> None:
    changes = {name: value for name, (value, _) in mistakes.items()}
    done = _check(
        PRODUCTION | {"MILLRACE_HOME": str(tmp_path)} | changes,
        *("--deploy", "--fail-level", "WARNING"),
    )
    assert done.returncode != 0
    reported = re.findall(r"\((millrace\.\w+)\) (.+)\n\tHINT: \S", done.stderr)
    assert sorted(name for name, _ in reported) == sorted(name for _, name in mistakes.values())
    for setting, (_, name) in mistakes.items():
        assert any(one == name and setting in text for one, text in reported), (setting, reported)


def test_every_make_target_has_a_help_line() -> None:
    done = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True)
    for target in ("setup", "demo", "up", "down", "test", "test-fast", "lint", "bench", "clean"):
        assert re.search(rf"make {target}\s+\S", done.stdout), target


def test_ci_calls_make_test_and_nothing_else() -> None:
    lines = (ROOT / ".ci/run").read_text().splitlines()
    commands = [line for line in lines if line and not line.startswith(("#", "set", "cd"))]
    assert commands == ["exec make test"]
