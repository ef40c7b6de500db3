"""What a small call costs the process that answers it, and each part of that: microseconds of CPU.

The whole layer is called as a WSGI server calls it, before a backend that answers canned bytes, by
a tenant whose plan has every limit. The engine's own work and the server's are not in it.
"""

from __future__ import annotations

import argparse
import io
import sys
import time
from collections.abc import Callable
from typing import Any

from bench import layer, query
from bench.installation import QUERY, Installation
from bench.report import Result
from bench.servers import free_port, module

CALLS, ROUNDS = 300, 30
_PLENTY = 10**12


def run(installation: Installation, given: argparse.Namespace) -> list[Result]:
    from django.conf import settings

    query.prepare(installation)
    answer = installation.home / "answer.json"
    answer.write_bytes(layer.canned(installation))
    port = free_port()
    real = settings.CLICKHOUSE_URL
    with module(["bench.canned", str(port), str(answer)], port):
        settings.CLICKHOUSE_URL = layer.moved(installation.urls["CLICKHOUSE_URL"], port)
        try:
            return _measured(installation)
        finally:
            settings.CLICKHOUSE_URL = real
            _plan(installation, None)


def _measured(installation: Installation) -> list[Result]:
    from analytics_api.guard import check
    from millrace.wsgi import application
    from tenants import key_format
    from tenants.plans.admission import admit
    from tenants.plans.allowance import allowance
    from tenants.rest import authentication

    without = _cpu(lambda: _call(application, installation.key))
    _plan(installation, dict.fromkeys(_limits(), _PLENTY))
    whole = _cpu(lambda: _call(application, installation.key))

    def check_key() -> Any:
        parsed = key_format.parse(installation.key)
        return authentication.find(parsed.sha256) if parsed else None

    caller: Any = check_key()
    granted = allowance(installation.tenant.pk)
    sql = QUERY.format(table=query.TABLE)
    database = installation.tenant.warehouse.database
    parts = {
        "checking a key": check_key,
        "all limits, in one round trip": lambda: admit(caller, granted, query=True).give_back(),
        "the guard, when a query is published": lambda: check(
            sql, tables=[query.TABLE], database=database
        ),
    }
    found = [
        Result("the whole layer, every limit set", whole, "µs of CPU"),
        Result("the whole layer, no plan", without, "µs of CPU"),
    ]
    return found + [Result(name, _cpu(part), "µs of CPU") for name, part in parts.items()]


def _limits() -> tuple[str, ...]:
    from tenants.models import LIMITS

    # What is kept has no part in a call.
    return tuple(one for one in LIMITS if one not in {"retention_days", "storage_bytes"})


def _plan(installation: Installation, limits: dict[str, int | None] | None) -> None:
    from tenants.services.plans import give_plan, make_plan

    give_plan(installation.tenant, None if limits is None else make_plan("bench", limits))


def _call(application: Callable[..., Any], key: str) -> None:
    said: list[str] = []
    answer = application(
        {
            "REQUEST_METHOD": "GET",
            "SCRIPT_NAME": "",
            "PATH_INFO": "/api/v1/queries/by_country",
            "QUERY_STRING": "below=5000",
            "SERVER_NAME": "127.0.0.1",
            "SERVER_PORT": "80",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "HTTP_HOST": "127.0.0.1",
            "HTTP_ACCEPT": "*/*",
            "HTTP_AUTHORIZATION": f"Bearer {key}",
            "wsgi.input": io.BytesIO(),
            "wsgi.errors": sys.stderr,
            "wsgi.url_scheme": "http",
        },
        lambda status, headers: said.append(status),
    )
    body = b"".join(answer)
    answer.close()
    if not said[0].startswith("200"):
        raise RuntimeError(f"{said[0]}: {body[:500]!r}")


def _cpu(what: Callable[[], Any]) -> float:
    """Microseconds of CPU a call, of this and all other threads: the least of ROUNDS rounds.

    What is above it is other processes' doing, by the caches and the clock rate that they share
    (docs.python.org/3/library/timeit.html, ``Timer.repeat``).
    """
    for _ in range(CALLS // 5):
        what()
    rounds = []
    for _ in range(ROUNDS):
        began = time.process_time()
        for _ in range(CALLS):
            what()
        rounds.append((time.process_time() - began) / CALLS * 1e6)
    return min(rounds)
