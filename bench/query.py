"""Requests a second of an endpoint, compared with raw ClickHouse and hand-written endpoints.

They run a small query over 100,000 rows, over 16 connections, with two worker processes each.
"""

from __future__ import annotations

import argparse
from urllib.parse import quote, urlsplit, urlunsplit

import urllib3

from bench import cpu, load
from bench.installation import QUERY, Installation
from bench.report import Result, compared
from bench.servers import Server, granian

CONNECTIONS = 16
TABLE = "queried"
ROWS = 100_000
RIVALS = {
    "fastapi_httpx": "FastAPI with httpx",
    "fastapi_aiohttp": "FastAPI with aiohttp",
}


def run(installation: Installation, given: argparse.Namespace) -> list[Result]:
    prepare(installation)
    url = installation.urls["CLICKHOUSE_URL"]
    pids = installation.pids("clickhouse")
    raw = _raw(installation, given.seconds)
    with granian("millrace.wsgi:application", "wsgi", {}) as server:
        ours = ask_millrace(server, installation, pids, given.seconds)
    others = [raw]
    for name, title in RIVALS.items():
        with granian(f"bench.rivals.{name}:app", "asgi", rival(installation, url)) as server:
            others.append(ask_rival(server, installation, title, pids, given.seconds))
    return compared(ours, others)


def prepare(installation: Installation) -> None:
    """Create the table, its rows and the endpoint, unless they exist."""
    from analytics_api.models import SavedQuery
    from tenants.warehouse import client

    if SavedQuery.objects.filter(tenant=installation.tenant, name="by_country").exists():
        return
    installation.make_source(TABLE, "none", active=False)
    columns = "time, id, user_id, country, page, amount, items, paid"
    rows = (
        "SELECT now64(3), number, number % 10000, toString(number % 8), toString(number), "
        f"number / 7, number % 100, number % 2 FROM numbers({ROWS})"
    )
    client.execute([f"INSERT INTO t_bench.{TABLE} ({columns}) {rows}"])
    installation.publish("by_country", TABLE)


def rival(installation: Installation, url: str) -> dict[str, str]:
    """The environment of a hand-written endpoint, for the same query and the same tenant's user."""
    warehouse = installation.tenant.warehouse
    parts = urlsplit(url)
    netloc = f"{warehouse.username}:{quote(warehouse.password)}@{parts.hostname}:{parts.port}"
    return {
        "BENCH_URL": urlunsplit((parts.scheme, netloc, "/", f"database={warehouse.database}", "")),
        "BENCH_KEY": installation.key,
        "BENCH_SQL": QUERY.format(table=TABLE).replace("{{", "{").replace("}}", "}"),
    }


def _raw(installation: Installation, seconds: float) -> Result:
    environment = rival(installation, installation.urls["CLICKHOUSE_URL"])
    parts = urlsplit(environment["BENCH_URL"])
    query = f"{parts.query}&param_below=5000&default_format=JSON&query="
    url = f"http://{parts.hostname}:{parts.port}/?{query}{quote(environment['BENCH_SQL'])}"
    warehouse = installation.tenant.warehouse
    headers = urllib3.make_headers(basic_auth=f"{warehouse.username}:{warehouse.password}")
    meter = cpu.Meter(installation.pids("clickhouse"))
    load.run(url, dict(headers), connections=CONNECTIONS, seconds=1)
    meter = cpu.Meter(installation.pids("clickhouse"))
    outcome = load.run(url, dict(headers), connections=CONNECTIONS, seconds=seconds)
    return Result("the raw engine", outcome.rate, "requests/s", cpu=meter.spent(outcome.answers))


def ask_millrace(
    server: Server, installation: Installation, pids: dict[str, int], seconds: float
) -> Result:
    url = f"{server.url}/api/v1/queries/by_country?below=5000"
    return _asked("Millrace", server, url, installation, pids, seconds)


def ask_rival(
    server: Server, installation: Installation, title: str, pids: dict[str, int], seconds: float
) -> Result:
    url = f"{server.url}/by_country?below=5000"
    return _asked(title, server, url, installation, pids, seconds)


def _asked(
    title: str,
    server: Server,
    url: str,
    installation: Installation,
    pids: dict[str, int],
    seconds: float,
) -> Result:
    headers = {"Authorization": f"Bearer {installation.key}"}
    load.run(url, headers, connections=CONNECTIONS, seconds=1)
    meter = cpu.Meter({"web": server.pid, **pids})
    outcome = load.run(url, headers, connections=CONNECTIONS, seconds=seconds)
    return Result(title, outcome.rate, "requests/s", cpu=meter.spent(outcome.answers))
