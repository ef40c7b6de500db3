"""What the endpoint itself costs, in front of a backend that answers canned bytes."""

from __future__ import annotations

import argparse
from urllib.parse import urlsplit, urlunsplit

import urllib3

from bench import query
from bench.installation import Installation
from bench.report import Result, compared
from bench.servers import free_port, granian, module


def run(installation: Installation, given: argparse.Namespace) -> list[Result]:
    query.prepare(installation)
    answer = installation.home / "answer.json"
    answer.write_bytes(canned(installation))
    port = free_port()
    with module(["bench.canned", str(port), str(answer)], port):
        url = moved(installation.urls["CLICKHOUSE_URL"], port)
        with granian("millrace.wsgi:application", "wsgi", {"CLICKHOUSE_URL": url}) as server:
            ours = query.ask_millrace(server, installation, {}, given.seconds)
        others = []
        for name, title in query.RIVALS.items():
            environment = query.rival(installation, url)
            with granian(f"bench.rivals.{name}:app", "asgi", environment) as server:
                others.append(query.ask_rival(server, installation, title, {}, given.seconds))
    return compared(ours, others)


def canned(installation: Installation) -> bytes:
    environment = query.rival(installation, installation.urls["CLICKHOUSE_URL"])
    parts = urlsplit(environment["BENCH_URL"])
    warehouse = installation.tenant.warehouse
    answer = urllib3.request(
        "POST",
        f"http://{parts.hostname}:{parts.port}/?{parts.query}&param_below=5000&default_format=JSON",
        body=environment["BENCH_SQL"].encode(),
        headers=urllib3.make_headers(basic_auth=f"{warehouse.username}:{warehouse.password}"),
    )
    if answer.status != 200:
        raise RuntimeError(answer.data.decode())
    return answer.data


def moved(url: str, port: int) -> str:
    parts = urlsplit(url)
    account = parts.netloc.rpartition("@")[0]
    return urlunsplit((parts.scheme, f"{account}@127.0.0.1:{port}", parts.path, parts.query, ""))
