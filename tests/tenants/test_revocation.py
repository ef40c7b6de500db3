"""A revoked key, and its tokens, are refused within a second by processes that had them cached."""

from __future__ import annotations

import time
from typing import Any

import pytest
import urllib3

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def test_a_revoked_key_and_its_token_are_refused_within_a_second(
    installation: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MILLRACE_WEB_WORKERS", "2")
    installation.start("postgres", "clickhouse", "valkey", "web")
    key, token = installation.python(MAKE).split()
    http = urllib3.PoolManager()

    def status(text: str) -> int:
        address = f"{installation.urls['WEB_URL']}/api/v1/queries"
        return http.request("GET", address, headers={"Authorization": f"Bearer {text}"}).status

    # Every web process has them cached.
    assert {status(text) for text in (key, token) * 20} == {200}
    installation.python(REVOKE.format(prefix=key.split("_")[1]))
    stamp = float((installation.home / "revoked").read_text())
    time.sleep(max(0.0, stamp + 1 - time.time()))
    assert {status(text) for text in (key, token) * 20} == {401}


MAKE = """
from io import StringIO
from django.core.management import call_command
from tenants.models import Tenant

def first_word(*arguments):
    call_command("api_key", *arguments, stdout=(said := StringIO()))
    return said.getvalue().split()[0]

Tenant.objects.create(slug="acme", name="Acme")
key = first_word("create", "acme", "--signing")
print(key, first_word("token", key.split("_")[1], "--query=a"))
"""
REVOKE = """
import os, pathlib, time
from tenants.services.keys import revoke_key
from tenants.models import APIKey
revoke_key(APIKey.across_tenants.get(prefix='{prefix}'))
pathlib.Path(os.environ['MILLRACE_HOME'], 'revoked').write_text(str(time.time()))
"""
