"""Real services for tests, started when the first test asks for them, and a cast of tenants."""

from __future__ import annotations

import gc
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
from tests.heaviest_first import pytest_collection_modifyitems, pytest_xdist_make_scheduler
from tests.security.told import (
    pytest_sessionfinish,
    pytest_terminal_summary,
    pytest_testnodedown,
)

# Hooks, which xdist's first process knows from here alone.
__all__ = [
    "pytest_collection_modifyitems",
    "pytest_collectreport",
    "pytest_runtest_logreport",
    "pytest_runtest_makereport",
    "pytest_sessionfinish",
    "pytest_terminal_summary",
    "pytest_testnodedown",
    "pytest_xdist_make_scheduler",
]

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from tenants.models import Tenant, Warehouse

ROOT = Path(__file__).resolve().parents[1]
# Tests' Kafkas live for minutes: compiling them less, and collecting in one thread, takes two
# thirds of the CPU to start one.
os.environ.setdefault("JDK_JAVA_OPTIONS", "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC")
# One web process answers as two do, and is started with half the CPU. Tests that are about
# several say so.
os.environ.setdefault("MILLRACE_WEB_WORKERS", "1")
# Collecting 4,800 tests makes many objects and no garbage. With Python's own thresholds a third of
# its CPU went into looking for some, in each of xdist's processes.
gc.set_threshold(50_000, 10, 10)
_numbers = itertools.count()


def pytest_collection_finish() -> None:
    """Modules and tests stay to the end: the collector need not look at them after each."""
    gc.freeze()


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
def migrated_database(postgres: str, django_db_blocker: Any) -> str:
    """The name of a database that is migrated once in a run, for all processes to copy."""
    import psycopg
    from django.core.management import call_command
    from django.db import connection

    from millrace.embedded import files

    name, unfinished = "millrace_migrated", "millrace_unfinished"
    with files.locked(HOME / ".migrated.lock"), psycopg.connect(postgres, autocommit=True) as link:
        if link.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone():
            return name
        link.execute(f"DROP DATABASE IF EXISTS {unfinished}")
        link.execute(f"CREATE DATABASE {unfinished}")
        usual = connection.settings_dict["NAME"]
        with django_db_blocker.unblock():
            connection.settings_dict["NAME"] = unfinished
            call_command("migrate", interactive=False, verbosity=0)
            connection.close()
            connection.settings_dict["NAME"] = usual
        link.execute(f"ALTER DATABASE {unfinished} RENAME TO {name}")
    return name


@pytest.fixture(scope="session")
def django_db_modify_db_settings(
    migrated_database: str, django_db_modify_db_settings_parallel_suffix: None
) -> None:
    """Django copies it, and then runs the migrations that were added since."""
    from django.db import connection

    connection.settings_dict["TEST"]["TEMPLATE"] = migrated_database


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


# Once for all tests, since most of them take a few milliseconds.
@pytest.fixture(scope="session", autouse=True)
def _settings_of_tests() -> Iterator[None]:
    """Settings that make tests quicker and decide nothing that a test is about."""
    from django.test import override_settings

    with override_settings(
        # Django's own takes a quarter of a second for each.
        PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
        # Static files are looked for when they are asked for, and not listed by each client.
        WHITENOISE_AUTOREFRESH=True,
    ):
        yield


@pytest.fixture(scope="session", autouse=True)
def _tests_look_everywhere() -> Iterator[None]:
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

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scoping, "refuse", refuse_ours)
        yield


@pytest.fixture
def within_a_minute() -> None:
    """Begin so that what counts by minutes, and takes a moment, does not see one end."""
    left = 60 - time.time() % 60
    if left < 3:
        time.sleep(left)


@pytest.fixture(scope="session")
def unique() -> Callable[[str], str]:
    """Names that no other test, and no other worker of this run, has."""
    return lambda stem: f"{stem}_{secrets.token_hex(3)}{next(_numbers)}"


class Tenants:
    """Makes tenants with a warehouse in the real engine."""

    def __init__(self, unique: Callable[[str], str]) -> None:
        self._unique = unique
        self._made: list[Warehouse] = []

    def __call__(self, stem: str = "acme", **fields: Any) -> Tenant:
        from tenants.models import Tenant
        from tenants.provisioning.warehouse import provision
        from tenants.services.warehouses import create_warehouse

        tenant = Tenant.objects.create(slug=self._unique(stem), **({"name": stem.title()} | fields))
        warehouse = create_warehouse(tenant)
        provision(warehouse)
        assert warehouse.applied, warehouse.error
        self._made.append(warehouse)
        return tenant

    def remove_all(self) -> None:
        """From the engine."""
        from tenants.provisioning.warehouse import remove

        for warehouse in self._made:
            remove(warehouse.database, warehouse.username)


def make_table(
    tenant: Tenant, columns: list[dict[str, Any]], name: str = "events", **fields: Any
) -> Any:
    """A table, in ClickHouse too, of columns given as keyword arguments of ``Column``."""
    from ingestion.models import Column, Table
    from ingestion.provision import provision_table

    table = Table.objects.create(tenant=tenant, name=name, **fields)
    Column.objects.bulk_create(
        Column(table=table, position=place, **column) for place, column in enumerate(columns)
    )
    provision_table(table)
    table.refresh_from_db()
    assert table.applied, table.error
    return table


@pytest.fixture
def tenant_factory(
    db: None, clickhouse_server: str, unique: Callable[[str], str]
) -> Iterator[Callable[..., Tenant]]:
    """Makes tenants; their databases are dropped after the test."""
    tenants = Tenants(unique)
    yield tenants
    tenants.remove_all()


@pytest.fixture
def table_factory(tenant_factory: Callable[..., Tenant]) -> Callable[..., Any]:
    return make_table


@pytest.fixture(scope="module")
def rows_of_file(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """Rows made from now on stay until the last test of the file; a test's own do not.

    Don't use it in a file whose tests commit: they would wait for this transaction.
    """
    from django.db import transaction

    with django_db_blocker.unblock(), transaction.atomic():
        yield
        transaction.set_rollback(True)


@pytest.fixture(scope="module")
def tenant_factory_of_file(
    rows_of_file: None, clickhouse_server: str, unique: Callable[[str], str]
) -> Iterator[Callable[..., Tenant]]:
    """Makes tenants that all tests of a file share. No test may change them in the engine."""
    tenants = Tenants(unique)
    yield tenants
    tenants.remove_all()


class Installation:
    """A whole Millrace of its own: services, web, workers and beat as processes."""

    def __init__(self, home: Path, installed: Path) -> None:
        self.home, self._installed = home, installed
        self.stack = Stack(home)
        # The passwords that the copied Postgres knows.
        shutil.copy(installed / "secrets.json", home)

    @property
    def urls(self) -> dict[str, str]:
        return self.stack.urls

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "MILLRACE_HOME": str(self.home)}

    def start(self, *names: str) -> None:
        """Start these, services first; Postgres begins with the schema and the administrator."""
        from millrace.embedded.stack import PROCESSES, SERVICES

        if "postgres" in names and not (self.home / "postgres" / "data").exists():
            # Not shutil, which gives the files of PostgreSQL's user to root.
            copied = [self._installed / name for name in ("postgres", "static")]
            subprocess.run(["cp", "-a", *copied, self.home], check=True)
        for tier in (SERVICES, PROCESSES):
            self.stack.start([name for name in names if name in tier])

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


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home in which Postgres is migrated and has the administrator, for tests to copy.

    The product's own set-up makes it, once in a run: it takes seven seconds of a core.
    """
    from millrace.embedded import files
    from millrace.embedded.install import install

    # Below the folder that all of xdist's processes share.
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    home = shared / "installed"
    with files.locked(shared / ".installed.lock"):
        if not home.exists():
            made = shared / "installed.new"
            with Stack(made, ("postgres",)):
                install(made)
            made.rename(home)
    return home


@contextmanager
def temporary_installation(
    tmp_path_factory: pytest.TempPathFactory, installed: Path
) -> Iterator[Installation]:
    made = Installation(tmp_path_factory.mktemp("installation"), installed)
    try:
        yield made
    finally:
        made.stack.stop()


@pytest.fixture(scope="module")
def installation(
    tmp_path_factory: pytest.TempPathFactory, installed: Path
) -> Iterator[Installation]:
    """An installation for the tests of one module; nothing of it runs yet."""
    with temporary_installation(tmp_path_factory, installed) as made:
        yield made


@pytest.fixture
def fresh_installation(
    tmp_path_factory: pytest.TempPathFactory, installed: Path
) -> Iterator[Installation]:
    """An installation for one test; nothing of it runs yet."""
    with temporary_installation(tmp_path_factory, installed) as made:
        yield made


# For a file alone: while Playwright runs, its event loop has Django refuse the database to tests.
@pytest.fixture(scope="module")
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
