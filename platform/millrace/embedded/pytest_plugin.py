"""pytest plugin that gives each test run its own installation, shared with nothing else.

Settings read the home folder when they are first imported. pytest-django does that before any
conftest is loaded, so this plugin is loaded with ``-p``. ``MILLRACE_TEST_HOME`` names a home folder
to use and to leave running.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import pytest

from millrace.embedded import files, ports

#: Variables that would connect tests to other services than their own.
_ELSEWHERE = ("DATABASE_URL", "CLICKHOUSE_URL", "CELERY_BROKER_URL", "CACHE_URL", "SECRET_KEY")
#: The URL of a real ClickHouse server, if one is set: tests/security attacks it, too.
REAL_CLICKHOUSE = os.environ.get("CLICKHOUSE_URL", "")
_KEPT = os.environ.get("MILLRACE_TEST_HOME", "")
#: pytest-xdist's workers use the home of the process that started them.
_IS_WORKER = "PYTEST_XDIST_WORKER" in os.environ


#: Ports of test runs, below the range that installations choose from.
_FIRST_PORT, _RUNS, _PORTS_A_RUN = 10_000, 500, 20


def _take_ports(home: Path) -> None:
    """Choose ports that no other run, and no installation that a test creates, can have.

    Settings read the ports before the services start, and until then anything may listen on them.
    Another process on such a port would be mistaken for the service.
    """
    first = _FIRST_PORT + os.getpid() % _RUNS * _PORTS_A_RUN
    chosen = {name: first + place for place, name in enumerate(ports.NAMES)}
    if all(map(ports.is_free, chosen.values())):
        files.write_json(home / ports.FILE, chosen)


def _choose() -> Path:
    if _IS_WORKER:
        return Path(os.environ["MILLRACE_HOME"])
    chosen = Path(_KEPT or tempfile.mkdtemp(prefix="millrace-test-")).resolve()
    os.environ["MILLRACE_HOME"] = str(chosen)
    # WhiteNoise warns where collectstatic's folder is missing.
    (chosen / "static").mkdir(parents=True, exist_ok=True)
    if not _KEPT:
        _take_ports(chosen)
    os.environ["MILLRACE_ENV_FILE"] = os.devnull
    for name in _ELSEWHERE:
        os.environ.pop(name, None)
    return chosen


HOME = _choose()


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop what the run has started and remove its folder."""
    from millrace.embedded.stack import Stack

    if not _IS_WORKER and not _KEPT:
        Stack(HOME).stop()
        shutil.rmtree(HOME, ignore_errors=True)
