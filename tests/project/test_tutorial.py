"""The documented commands, run as they stand there, on an installation that has nothing yet."""

from __future__ import annotations

import csv
import io
import json
import re
import subprocess
from typing import Any

import pytest

from millrace.embedded.rabbitmq import RabbitMQ
from tests.documentation import ROOT, blocks

BLOCKS = blocks("run")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def test_your_own_stream_in_five_minutes(installation: Any) -> None:
    if reason := RabbitMQ(installation.home).why_unavailable():
        pytest.skip(reason)
    installation.start(
        *("postgres", "clickhouse", "valkey", "kafka", "rabbitmq"),
        *("web", "worker-default", "worker-ingest", "beat"),
    )
    assert len(BLOCKS) >= 7
    marked = [f"echo '--- {number}'\n{block}" for number, block in enumerate(BLOCKS)]
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", "\n".join(marked)],
        cwd=ROOT,
        env=installation.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    said = re.split(r"--- \d\n", done.stdout)[1:]
    assert "Sent 1000 orders, 5 of them broken, and 50 refunds." in said[0]
    assert "Nothing was changed." in said[1]
    assert "9 changes were made." in said[1]
    orders, refunds = (line.split() for line in said[2].splitlines()[1:3])
    assert orders[:4] == ["shop.orders", "kafka", "running", "0"]
    # Landed, quarantined, filtered.
    assert orders[-3:] == ["995", "5", "0"], orders
    assert refunds[:4] == ["shop.refunds", "rabbitmq", "running", "0"]
    assert refunds[-3:] == ["50", "0", "0"], refunds
    answer, rows = said[3].split('"country","orders","ordered","refunded"\n')
    assert [row["country"] for row in json.loads(answer)["data"]] == ["DE", "FR", "PL", "US"]
    table = list(csv.reader(io.StringIO(rows)))
    assert [row[:2] for row in table] == [
        ["DE", "250"],
        ["FR", "250"],
        ["PL", "250"],
        ["US", "245"],
    ]
    assert sum(float(row[3]) for row in table) == 75
    for name, expected in (
        ("history.ndjson", "1 rows landed in shop.orders"),
        ("history.csv", "1 rows landed in shop.orders"),
        ("partner.key", '"rows": 4'),
        ("browsers.key", '"rows": 4'),
    ):
        (place,) = (number for number, block in enumerate(BLOCKS) if name in block)
        assert expected in said[place]

    again = installation.manage("apply", "examples/shop.yaml").stdout
    assert "Nothing to do" in again
