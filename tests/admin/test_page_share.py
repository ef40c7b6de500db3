"""One person's pages don't hold all threads of a web process."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from tenants.plans import threads as module
from tenants.plans.threads import HeldThread, threads


@pytest.fixture
def two_threads(settings: Any) -> Iterator[None]:
    settings.MILLRACE_WEB_THREADS = 2
    module._threads.cache_clear()
    yield
    module._threads.cache_clear()


def logged_in(name: str) -> tuple[User, Client]:
    user = User.objects.create_superuser(name, password="x")
    client = Client()
    client.force_login(user)
    return user, client


def test_whose_pages_hold_their_share_is_told_so_and_others_go_on(
    db: None, two_threads: None
) -> None:
    ann, anns = logged_in("ann")
    _, bobs = logged_in("bob")
    slow: HeldThread = threads().take(("person", ann.pk))
    refused = anns.get("/admin/tenants/tenant/")
    assert (refused.status_code, refused["Content-Type"]) == (429, "text/plain; charset=utf-8")
    assert int(refused["Retry-After"]) >= 1
    assert "1 pages" not in refused.content.decode()
    assert bobs.get("/admin/tenants/tenant/").status_code == 200
    slow.leave()
    for _ in range(3):
        assert anns.get("/admin/tenants/tenant/").status_code == 200
    assert threads()._held == 0
