"""Tries to log in are limited; sessions end; cookies and headers are strict."""

from __future__ import annotations

import fcntl
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
from django.conf import settings
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client, override_settings

from millrace.embedded.pytest_plugin import HOME
from millrace.security import login
from millrace.security.headers import policy_of

PASSWORD = "correct-horse-battery"


@pytest.fixture
def account(db: None, valkey: str, unique: Callable[[str], str]) -> Iterator[str]:
    """One test at a time: xdist's processes share the cache, and tries are counted by address.

    Other tests have what is not of logins there.
    """
    with (
        (HOME / "logins.lock").open("w") as lock,
        redis.Redis.from_url(settings.CACHES["default"]["LOCATION"]) as client,
    ):
        fcntl.flock(lock, fcntl.LOCK_EX)
        _forget(client)
        name = unique("op")
        User.objects.create_superuser(name, password=PASSWORD)
        yield name
        _forget(client)


def _forget(client: redis.Redis) -> None:
    for key in client.scan_iter(match="*login:*"):
        client.delete(key)


def attempt(name: str, password: str, address: str = "10.0.0.1") -> Any:
    given = {"username": name, "password": password}
    return Client().post("/admin/login/", given, REMOTE_ADDR=address)


def said(answer: Any) -> str:
    return str(answer.context["form"].non_field_errors())


def test_after_five_failures_even_the_right_password_is_refused_and_the_page_says_why(
    account: str,
) -> None:
    for _ in range(login.BY_ACCOUNT):
        assert "Please enter the correct" in said(attempt(account, "wrong"))
    assert "Too many login attempts" in said(attempt(account, PASSWORD))
    assert "Too many login attempts" in said(attempt(account.upper(), PASSWORD))


def test_nobody_is_locked_out_from_elsewhere(account: str) -> None:
    for _ in range(login.BY_ACCOUNT + 2):
        attempt(account, "wrong")
    assert attempt(account, PASSWORD, "10.0.0.2").status_code == 302


def test_one_password_on_many_accounts_is_stopped_by_the_address(account: str) -> None:
    for number in range(login.BY_ADDRESS):
        attempt(f"name{number}", "wrong")
    assert "Too many login attempts" in said(attempt(account, PASSWORD))
    assert attempt(account, PASSWORD, "10.0.0.2").status_code == 302


def test_a_success_forgets_what_was_before(account: str) -> None:
    for _ in range(3):
        for _ in range(login.BY_ACCOUNT - 1):
            attempt(account, "wrong")
        assert attempt(account, PASSWORD).status_code == 302


def test_an_operator_unlocks_an_account_or_an_address(
    account: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(login.BY_ADDRESS):
        attempt(account if number < login.BY_ACCOUNT else f"n{number}", "wrong")
    call_command("unlock_login", account)
    assert "Too many login attempts" in said(attempt(account, PASSWORD))
    call_command("unlock_login", account)
    call_command("unlock_login", "--address", "10.0.0.1")
    assert attempt(account, PASSWORD).status_code == 302
    call_command("unlock_login", "nobody")
    out = capsys.readouterr().out
    assert f"{account} can log in again." in out
    assert "No failed logins are recorded for nobody." in out


def test_without_the_cache_operators_can_still_log_in(account: str) -> None:
    away = {
        "default": {
            "BACKEND": "django.core.cache.backends.redis.RedisCache",
            "LOCATION": "redis://127.0.0.1:9/1",
        }
    }
    with override_settings(CACHES=away):
        assert attempt(account, PASSWORD).status_code == 302


def test_a_session_ends_after_its_absolute_age_however_much_it_is_used(account: str) -> None:
    browser = Client()
    browser.post("/admin/login/", {"username": account, "password": PASSWORD})
    assert browser.get("/admin/").status_code == 200
    with override_settings(SESSION_ABSOLUTE_SECONDS=-1):
        assert browser.get("/admin/").status_code == 302
    assert browser.get("/admin/").status_code == 302


# --- Headers ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", ["/admin/login/", "/api/docs", "/api/v1/openapi.json", "/api/v1/nothing", "/metrics"]
)
def test_every_answer_carries_the_security_headers(path: str, db: None) -> None:
    headers = Client().get(path).headers
    policy = headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; ")
    assert "frame-ancestors 'none'" in policy
    assert "base-uri 'none'" in policy
    scripts = re.findall(r"script-src [^;]*", policy)
    assert all("unsafe-inline" not in one and "http" not in one for one in scripts)
    assert ("unsafe-eval" in policy) == path.startswith("/admin/")
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Referrer-Policy"] == "same-origin"
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert "camera=()" in headers["Permissions-Policy"]


@pytest.mark.parametrize("path", ["/admin/login/", "/api/v1/nothing", "/api/v1/queries/any"])
def test_a_host_that_is_not_ours_is_refused_before_and_after_ours(path: str, db: None) -> None:
    with override_settings(ALLOWED_HOSTS=["ours.example"]):
        for host, refused in (("other", True), ("ours.example", False), ("other", True)):
            answer = Client().get(path, headers={"host": host})
            assert (answer.status_code == 400) == refused, host
    assert Client().get(path, headers={"host": "ours.example"}).status_code == 400


def test_what_is_no_page_may_load_nothing() -> None:
    for path in ("/api/v1/queries/x", "/metrics", "/", "/static/x.svg"):
        assert "script-src" not in policy_of(path)


def test_a_form_with_a_file_or_far_too_many_fields_is_refused(account: str) -> None:
    from django.core.files.uploadedfile import SimpleUploadedFile

    browser = Client(raise_request_exception=False)
    file = SimpleUploadedFile("a.txt", b"x" * 100)
    assert browser.post("/admin/login/", {"f": file}).status_code == 400
    many = {f"f{number}": "1" for number in range(2_001)}
    assert browser.post("/admin/login/", many).status_code == 400
