"""Real services for tests, started when the first test asks for them, and a cast of tenants."""

from __future__ import annotations

import itertools
import os
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from millrace.embedded.pytest_plugin import HOME
from millrace.embedded.stack import Stack
from tests.flaky import (
    pytest_collectreport,
    pytest_runtest_logreport,
    pytest_runtest_makereport,
)
from tests.security.told import (
    pytest_sessionfinish,
    pytest_terminal_summary,
    pytest_testnodedown,
)

# Hooks, which xdist's first process knows from here alone.
__all__ = [
    "pytest_collectreport",
    "pytest_runtest_logreport",
    "pytest_runtest_makereport",
    "pytest_sessionfinish",
    "pytest_terminal_summary",
    "pytest_testnodedown",
]

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from tenants.models import Tenant

ROOT = Path(__file__).resolve().parents[1]
_numbers = itertools.count()


def _start(*names: str) -> dict[str, str]:
    stack = Stack(HOME)
    stack.start(names)
    return stack.urls


@pytest.fixture(scope="session")
def postgres() -> str:
    """URL of Postgres."""
    return _start("postgres")["DATABASE_URL"]


@pytest.fixture(scope="session")
def clickhouse_server() -> str:
    """URL of the ClickHouse engine, as the platform's own user."""
    return _start("clickhouse")["CLICKHOUSE_URL"]


@pytest.fixture(scope="session")
def valkey() -> str:
    return _start("valkey")["CACHE_URL"]


@pytest.fixture(scope="session")
def kafka_broker() -> str:
    """``host:port`` of Apache Kafka."""
    return _start("kafka")["KAFKA_URL"].removeprefix("kafka://")


@pytest.fixture(scope="session")
def rabbitmq_broker() -> str:
    """``amqp://`` URL of RabbitMQ."""
    from millrace.embedded.rabbitmq import RabbitMQ

    reason = RabbitMQ(HOME).why_unavailable()
    if reason:
        pytest.skip(reason)
    return _start("rabbitmq")["RABBITMQ_URL"]


@pytest.fixture(scope="session")
def django_db_setup(postgres: str, django_db_setup: None) -> Iterator[None]:
    """A test database needs a Postgres that runs.

    Tests with transactions of their own empty all tables after it, the append-only one too.
    """
    from django.db.backends.postgresql.operations import DatabaseOperations

    from tenants.audit.retention import ALLOW

    flush = DatabaseOperations.execute_sql_flush

    def flush_all(self: Any, statements: list[str]) -> None:
        flush(self, [ALLOW, *statements] if statements else [])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DatabaseOperations, "execute_sql_flush", flush_all)
        yield


@pytest.fixture(autouse=True)
def _passwords_cost_little(settings: Any) -> None:
    """Django's own hasher takes a quarter of a second for each, on purpose."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture(autouse=True)
def _static_files_are_looked_for_when_asked_for(settings: Any) -> None:
    """Each test's client sets all middleware up anew, which would list every file each time."""
    settings.WHITENOISE_AUTOREFRESH = True


@pytest.fixture(autouse=True)
def _tests_look_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """A line of a test may ask for rows without naming their tenant; Millrace's own may not."""
    from tenants import scoping

    refuse = scoping.refuse
    # A migration has models of its own, but a test gives it ours.
    not_ours = ("site-packages", "/migrations/", str(Path(scoping.__file__)))

    def refuse_ours(query: Any) -> None:
        frame = sys._getframe(1)
        while frame is not None and any(one in frame.f_code.co_filename for one in not_ours):
            frame = frame.f_back
        if frame is None or not frame.f_code.co_filename.startswith(str(ROOT / "tests")):
            refuse(query)

    monkeypatch.setattr(scoping, "refuse", refuse_ours)


@pytest.fixture
def within_a_minute() -> None:
    """Begin so that what counts by minutes, and takes a moment, does not see one end."""
    left = 60 - time.time() % 60
    if left < 3:
        time.sleep(left)


@pytest.fixture
def unique() -> Callable[[str], str]:
    """Names that no other test, and no other worker of this run, has."""
    return lambda stem: f"{stem}_{secrets.token_hex(3)}{next(_numbers)}"


@pytest.fixture
def tenant_factory(
    db: None, clickhouse_server: str, unique: Callable[[str], str]
) -> Iterator[Callable[..., Tenant]]:
    """Makes tenants with a warehouse in the real engine; their databases are dropped after it."""
    from tenants.models import Tenant
    from tenants.provisioning.warehouse import provision, remove
    from tenants.services.warehouses import create_warehouse

    made = []

    def make(stem: str = "acme", **fields: Any) -> Tenant:
        tenant = Tenant.objects.create(slug=unique(stem), **({"name": stem.title()} | fields))
        warehouse = create_warehouse(tenant)
        provision(warehouse)
        assert warehouse.applied, warehouse.error
        made.append(warehouse)
        return tenant

    yield make
    for warehouse in made:
        remove(warehouse.database, warehouse.username)


@pytest.fixture
def table_factory(tenant_factory: Callable[..., Tenant]) -> Callable[..., Any]:
    """Makes tables, in ClickHouse too, of columns given as keyword arguments of ``Column``."""
    from ingestion.models import Column, Table
    from ingestion.provision import provision_table

    def make(
        tenant: Tenant, columns: list[dict[str, Any]], name: str = "events", **fields: Any
    ) -> Table:
        table = Table.objects.create(tenant=tenant, name=name, **fields)
        Column.objects.bulk_create(
            Column(table=table, position=place, **column) for place, column in enumerate(columns)
        )
        provision_table(table)
        table.refresh_from_db()
        assert table.applied, table.error
        return table

    return make


class Installation:
    """A whole Millrace of its own: services, web, workers and beat as processes."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.stack = Stack(home)
        self._has_schema = False

    @property
    def urls(self) -> dict[str, str]:
        return self.stack.urls

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "MILLRACE_HOME": str(self.home)}

    def start(self, *names: str) -> None:
        """Start these; with the first of Millrace's own processes the schema is made."""
        from millrace.embedded.install import install
        from millrace.embedded.stack import PROCESSES, SERVICES

        self.stack.start([name for name in names if name in SERVICES])
        if any(name in PROCESSES for name in names):
            if not self._has_schema:
                install(self.home)
                self._has_schema = True
            self.stack.start([name for name in names if name in PROCESSES])

    def manage(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run ``manage.py`` as an operator would; its output is kept."""
        done = subprocess.run(
            [sys.executable, str(ROOT / "manage.py"), *arguments],
            env=self.environment,
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert not check or done.returncode == 0, done.stderr[-3000:]
        return done

    def python(self, code: str) -> str:
        """Run ``code`` with Django set up in this installation; what it prints."""
        script = f"import django; django.setup()\n{code}"
        done = subprocess.run(
            [sys.executable, "-c", script],
            env=self.environment | {"DJANGO_SETTINGS_MODULE": "millrace.settings"},
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout


@contextmanager
def temporary_installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    made = Installation(tmp_path_factory.mktemp("installation"))
    try:
        yield made
    finally:
        made.stack.stop()


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """An installation for the tests of one module; nothing of it runs yet."""
    with temporary_installation(tmp_path_factory) as made:
        yield made


@pytest.fixture
def fresh_installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """An installation for one test; nothing of it runs yet."""
    with temporary_installation(tmp_path_factory) as made:
        yield made


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Debian's Chromium, driven by Playwright."""
    from playwright.sync_api import sync_playwright

    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        pytest.skip("There is no Chromium here. Get it with: sudo apt-get install chromium")
    options = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=found, args=options)
        yield chromium
        chromium.close()
