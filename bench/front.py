"""A small query through the embedded engine's HTTP front, compared with chDB in one process."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from urllib.parse import quote, urlsplit

import urllib3

from bench import cpu, load
from bench.installation import Installation
from bench.report import Result, compared

SQL = (
    "SELECT number % 8 AS country, count() AS events, sum(number) AS items FROM bench "
    "WHERE number < 5000 GROUP BY country ORDER BY country"
)
SETUP = (
    "CREATE TABLE bench (number UInt64) ENGINE = MergeTree ORDER BY number",
    "INSERT INTO bench SELECT number FROM numbers(100000)",
)


def run(installation: Installation, given: argparse.Namespace) -> list[Result]:
    ours = _through_front(installation, given.seconds)
    done = subprocess.run(
        [sys.executable, "-m", "bench.rivals.chdb_inline", str(given.seconds)],
        check=True,
        capture_output=True,
        text=True,
    )
    outcome = json.loads(done.stdout)
    rate = outcome["queries"] / outcome["seconds"]
    spent = {"process": outcome["cpu_seconds"] / outcome["queries"] * 1e6}
    inline = Result("chDB in one process, one query at a time", rate, "queries/s", cpu=spent)
    return compared(ours, [inline])


def _through_front(installation: Installation, seconds: float) -> Result:
    from tenants.warehouse import client

    client.execute(SETUP)
    parts = urlsplit(installation.urls["CLICKHOUSE_URL"])
    url = f"http://{parts.hostname}:{parts.port}/?default_format=JSON&query={quote(SQL)}"
    headers = dict(urllib3.make_headers(basic_auth=f"{parts.username}:{parts.password}"))
    load.run(url, headers, connections=1, seconds=1)
    meter = cpu.Meter(installation.pids("clickhouse"))
    outcome = load.run(url, headers, connections=1, seconds=seconds)
    return Result(
        "through the HTTP front, one at a time",
        outcome.rate,
        "queries/s",
        cpu=meter.spent(outcome.answers),
    )
