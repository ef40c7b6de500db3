"""``kill -9`` at each step of a backfill run, in processes of a whole installation."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[3]
START = """
from ingestion.backfill.file_run import Settings
from ingestion.models import Column, Table
from ingestion.provision import provision_table
from ingestion.services import backfill_runs
from tenants.provisioning.warehouse import provision
from tenants.services.tenants import make

tenant = make("shop")
provision(tenant.warehouse)
table = Table.objects.create(tenant=tenant, name="events", sorting_key=["n"])
Column.objects.create(table=table, name="n", type="UInt64")
provision_table(table)
table.refresh_from_db()
lines = [b'{"n": %d}\\n' % (n if n % 4 else -1) for n in range(400)]
print(backfill_runs.start_upload(table, "a.ndjson", lines, Settings(chunk_rows=40)).pk)
"""
STATE = """
import json
from ingestion.landing.addresses import place_of
from ingestion.models import BackfillRun, Table
from tenants.warehouse import client
run, at = BackfillRun.across_tenants.get(), place_of(Table.across_tenants.get())
print(json.dumps({
    "rows": sorted(row["n"] for row in client.rows(f"SELECT n FROM {at.table}")),
    "misfits": sorted(
        row["_offset"] for row in client.rows(f"SELECT _offset FROM {at.quarantine}")
    ),
    "run": [run.state, run.landed, run.quarantined, run.skipped],
}))
"""
#: Works on a run; at the second time that it comes to a step, it kills itself before or after it.
WORK = """
import django; django.setup()
import os, signal, sys
from ingestion.backfill import background, load
from ingestion.landing import inbox
from ingestion.services import backfill_runs

pk, step, after, times = int(sys.argv[1]), sys.argv[2], sys.argv[3] == "after", 2
place = {"insert": inbox, "landed": background._Noted, "_judge": background}.get(step, load)
if step:
    real = getattr(place, step)
    def dies(*arguments, **options):
        global times
        times -= step != "_judge"
        if times > 0 and step != "_judge":
            return real(*arguments, **options)
        if after:
            real(*arguments, **options)
        os.kill(os.getpid(), signal.SIGKILL)
    setattr(place, step, dies)
backfill_runs.work(pk)
"""
STEPS = ("_chunk_row", "insert", "_land", "landed", "_note_end", "_judge")


def work(installation: Any, pk: int, step: str = "", when: str = "") -> int:
    """The exit status of a process that works on the run."""
    done = subprocess.run(
        [sys.executable, "-c", WORK, str(pk), step, when],
        env=installation.environment | {"DJANGO_SETTINGS_MODULE": "millrace.settings"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in (0, -signal.SIGKILL), done.stderr[-3000:]
    return done.returncode


@pytest.mark.chaos
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_killed_at_each_step_nothing_is_lost_or_doubled(installation: Any) -> None:
    installation.start("postgres", "clickhouse", "valkey")
    pk = int(installation.python(START))
    kills = 0
    for step in STEPS:
        for when in ("before", "after"):
            kills += work(installation, pk, step, when) == -signal.SIGKILL
    assert kills >= 8, "some steps come once alone, at the end"
    assert work(installation, pk) == 0
    found: dict[str, Any] = json.loads(installation.python(STATE))
    assert found["rows"] == [n for n in range(400) if n % 4]
    assert found["misfits"] == list(range(0, 400, 4))
    assert found["run"] == ["done", 300, 100, 0]
