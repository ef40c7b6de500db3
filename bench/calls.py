"""Microseconds of CPU that a small call, and each part of it, costs the process that answers it.

The benchmark calls the whole layer as a WSGI server does, in front of a backend that answers canned
bytes, for a tenant whose plan has every limit. The work of ClickHouse and of the web server is not
included.
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
    layers = [
        Result("the whole layer, every limit set", whole, "µs of CPU"),
        Result("the whole layer, no plan", without, "µs of CPU"),
    ]
    return layers + [Result(name, _cpu(part), "µs of CPU") for name, part in parts.items()]


def _limits() -> tuple[str, ...]:
    from tenants.models import LIMITS

    # Limits on stored data have no part in a call.
    return tuple(name for name in LIMITS if name not in {"retention_days", "storage_bytes"})


def _plan(installation: Installation, limits: dict[str, int | None] | None) -> None:
    from tenants.services.plans import give_plan, make_plan

    give_plan(installation.tenant, None if limits is None else make_plan("bench", limits))


def _call(application: Callable[..., Any], key: str) -> None:
    statuses: list[str] = []
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
        lambda status, headers: statuses.append(status),
    )
    body = b"".join(answer)
    answer.close()
    if not statuses[0].startswith("200"):
        raise RuntimeError(f"{statuses[0]}: {body[:500]!r}")


def _cpu(what: Callable[[], Any]) -> float:
    """Microseconds of CPU per call, over all threads: the least of ROUNDS rounds.

    Higher values come from other processes, through the shared caches and clock rate
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
