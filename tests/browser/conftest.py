"""One installation for all files but test_by_hand, empty for each, and logging in to it.

Each module's fixture ``running`` is the installation with the services that the module needs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import psycopg
import pytest
import redis
import urllib3
from psycopg import sql

from millrace.embedded import installation_secrets
from millrace.embedded.install import ADMIN
from tests.conftest import Installation, temporary_installation

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

#: What the migrations have made.
_KEPT = ("django_migrations", "django_content_type", "auth_permission", "auth_user")


@pytest.fixture(scope="session")
def shared_installation(
    tmp_path_factory: pytest.TempPathFactory, installed: Path
) -> Iterator[Installation]:
    with temporary_installation(tmp_path_factory, installed) as made:
        yield made


@pytest.fixture(scope="module")
def installation(shared_installation: Installation) -> Iterator[Installation]:
    """What runs in it keeps running; Millrace's objects are the module's own."""
    yield shared_installation
    _empty(shared_installation)


def _empty(installation: Installation) -> None:
    """Bring it back to what it was when it was made, but for the numbers of its next objects."""
    # Imported late, because settings are not read when this module is.
    from tenants.audit.retention import ALLOW
    from tenants.warehouse import statements

    urls = installation.urls
    with psycopg.connect(urls["DATABASE_URL"]) as link:
        warehouses = link.execute("SELECT database, username FROM tenants_warehouse").fetchall()
        named = link.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        tables = [sql.Identifier(name) for (name,) in named if name not in _KEPT]
        link.execute(ALLOW)
        link.execute(sql.SQL("TRUNCATE {}").format(sql.SQL(", ").join(tables)))
        link.execute("DELETE FROM auth_user WHERE username <> %s", [ADMIN])
    engine = urlsplit(urls["CLICKHOUSE_URL"])
    login = urllib3.make_headers(basic_auth=f"{engine.username}:{engine.password}")
    for warehouse in warehouses:
        for statement in statements.drop(*warehouse, quota=False):
            answer = urllib3.request("POST", engine.geturl(), body=statement, headers=login)
            assert answer.status == 200, answer.data
    with redis.Redis.from_url(urls["CACHE_URL"]) as cache:
        cache.flushall()


@pytest.fixture
def log_in(running: Any, browser: Browser) -> Iterator[Callable[[str, str], Page]]:
    """Opens the admin as somebody, in a browser profile of their own."""
    contexts = []

    def enter(name: str, password: str) -> Page:
        context = browser.new_context(viewport={"width": 1440, "height": 900})
        contexts.append(context)
        opened = context.new_page()
        opened.set_default_timeout(120_000)
        opened.goto(f"{running.urls['WEB_URL']}/admin/")
        opened.fill("#id_username", name)
        opened.fill("#id_password", password)
        opened.click("button[type=submit]")
        opened.wait_for_url(f"{running.urls['WEB_URL']}/admin/")
        return opened

    yield enter
    for context in contexts:
        context.close()


@pytest.fixture
def page(running: Any, log_in: Callable[[str, str], Page]) -> Page:
    """The admin as the operator has it."""
    return log_in("admin", installation_secrets.read(running.home)["admin"])
