"""A web process counts in memory: what it had written down stays, however it ends."""

from __future__ import annotations

import signal
import time
from contextlib import suppress
from typing import Any

import psutil
import psycopg
import pytest
import urllib3

pytestmark = [pytest.mark.chaos, pytest.mark.slow, pytest.mark.timeout(900)]

_MAKE = """
from tenants.services.keys import create_key
from tenants.models import Tenant
print(create_key(Tenant.objects.create(slug="acme", name="Acme"), "k")[1])
"""
_COUNT = "SELECT coalesce(sum(requests), 0)::int FROM tenants_usage"


def test_a_web_process_that_ends_loses_no_count_and_one_that_is_killed_its_last_second(
    fresh_installation: Any,
) -> None:
    fresh_installation.start("postgres", "clickhouse", "valkey", "web")
    url = f"{fresh_installation.urls['WEB_URL']}/api/v1/queries"
    headers = {"Authorization": f"Bearer {fresh_installation.python(_MAKE).strip()}"}

    def ask(times: int) -> None:
        for _ in range(times):
            assert urllib3.request("GET", url, headers=headers).status == 200

    def written() -> int:
        with psycopg.connect(fresh_installation.urls["DATABASE_URL"]) as link:
            (count,) = link.execute(_COUNT).fetchone() or (0,)
        return int(count)

    def counted(wanted: int) -> int:
        deadline = time.monotonic() + 120
        while (found := written()) < wanted and time.monotonic() < deadline:
            time.sleep(0.1)
        return found

    ask(20)
    fresh_installation.stack.halt("web")
    assert counted(20) == 20
    fresh_installation.start("web")
    ask(20)
    assert counted(40) == 40
    ask(5)
    web = psutil.Process(fresh_installation.stack.pid("web"))
    for one in [*web.children(recursive=True), web]:
        # A child may end by itself when the one before it is gone.
        with suppress(psutil.NoSuchProcess):
            one.send_signal(signal.SIGKILL)
    assert 40 <= written() <= 45
    # Supervisor starts it anew. Asked to end before it can listen to that, it is waited for 30 s.
    fresh_installation.stack.wait("web")
