"""Logging in. Each module's fixture ``running`` is an installation with a web server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from millrace.embedded import installation_secrets

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


@pytest.fixture
def log_in(running: Any, browser: Browser) -> Iterator[Callable[[str, str], Page]]:
    """Opens the admin as somebody, in a browser profile of their own."""
    contexts = []

    def enter(name: str, password: str) -> Page:
        context = browser.new_context(viewport={"width": 1440, "height": 900})
        contexts.append(context)
        opened = context.new_page()
        opened.set_default_timeout(20_000)
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
