"""``kill -9`` at each step of a replay and a discard, in processes of a whole installation."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
FILL = r'''
from ingestion.consume.loop import Slice
from ingestion.models import Batch, Column, Source, Table
from ingestion.provision import provision_table
from ingestion.services import quarantine_runs
from ingestion.services.events import accept
from tenants.provisioning.warehouse import provision
from tenants.services.tenants import make

tenant = make("shop")
provision(tenant.warehouse)
table = Table.objects.create(tenant=tenant, name="events", sorting_key=["n"])
Column.objects.create(table=table, name="n", type="UInt64")
provision_table(table)
table.refresh_from_db()
source = Source.objects.create(tenant=tenant, name="web", table=table)
accept(source, [b'{"n": "%d"}' % n for n in range(60)] + [b'{"n": -1}'] * 40)
while Batch.across_tenants.exclude(state="settled").exists() or not Batch.across_tenants.exists():
    Slice(None, seconds=0.5).run()
selected = quarantine_runs.selected(table)
repair = r"""replaceRegexpOne(raw, '"(\\d+)"', '\\1')"""
print(quarantine_runs.replay(selected, repair).pk)
'''
DISCARD = """
from ingestion.models import Table
from ingestion.services import quarantine_runs
table = Table.across_tenants.select_related("tenant__warehouse").get()
print(quarantine_runs.discard(quarantine_runs.selected(table), "negative").pk)
"""
STATE = """
import json
from datetime import timedelta
from django.utils import timezone
from ingestion.landing.addresses import place_of
from ingestion.ledger.audit import audit
from ingestion.models import QuarantineRun, Source
from tenants.warehouse import client
source = Source.across_tenants.select_related("table__tenant__warehouse").get()
at, (books,) = place_of(source.table), audit(source, timezone.now() - timedelta(hours=1))
print(json.dumps({
    "rows": sorted(row["n"] for row in client.rows(f"SELECT n FROM {at.table}")),
    "misfits": len(client.rows(f"SELECT _offset FROM {at.quarantine}")),
    "faults": [finding.text for finding in books.findings if finding.is_fault],
    "books": [books.received, books.inserted, books.quarantined, books.replayed, books.discarded],
    "runs": list(QuarantineRun.across_tenants.order_by("pk").values_list("state", "moved")),
}))
"""
#: Prints what an earlier process has left, then works on a run in small chunks; a step kills it,
#: before or after the step is done.
WORK = (
    "import django; django.setup()"
    + STATE
    + """
import os, signal, sys
sys.stdout.flush()
from ingestion.landing import direct_insert
from ingestion.quarantine import messages, replay
from ingestion.services import quarantine_runs

pk, step, after = int(sys.argv[1]), sys.argv[2], sys.argv[3] == "after"
messages.next_chunk.__defaults__ = ("", 7)
place = {"land_replayed": direct_insert, "delete_rows": replay}.get(step, replay._Step)
if step:
    real = getattr(place, step)
    def dies(*arguments, **options):
        if after:
            real(*arguments, **options)
        os.kill(os.getpid(), signal.SIGKILL)
    setattr(place, step, dies)
while quarantine_runs.work(pk):
    pass
"""
)
STEPS = ("_announce", "land_replayed", "_count", "delete_rows")


def work(installation: Any, pk: int, step: str = "", when: str = "") -> tuple[int, dict[str, Any]]:
    """The exit status of a process that works on the run, and what it found when it began."""
    environment = installation.environment | {"DJANGO_SETTINGS_MODULE": "millrace.settings"}
    done = subprocess.run(
        [sys.executable, "-c", WORK, str(pk), step, when],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in (0, -signal.SIGKILL), done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[0])
    return done.returncode, found


def state(installation: Any) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(installation.python(STATE))
    return read


@pytest.mark.chaos
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_killed_at_each_step_nothing_is_lost_or_doubled(installation: Any) -> None:
    installation.start("postgres", "clickhouse", "valkey")
    replay = int(installation.python(FILL))
    for step in STEPS:
        for when in ("before", "after"):
            status, found = work(installation, replay, step, when)
            assert status == -signal.SIGKILL, (step, when)
            assert found["faults"] == [], f"before the kill {when} {step}"
    status, found = work(installation, replay)
    assert (status, found["faults"]) == (0, [])
    mended = state(installation)
    assert mended["rows"] == list(range(60))
    assert (mended["misfits"], mended["faults"]) == (40, [])
    assert mended["books"] == [100, 60, 40, 60, 0]
    discard = int(installation.python(DISCARD))
    for step in ("_announce", "_count", "delete_rows"):
        assert work(installation, discard, step, "after")[0] == -signal.SIGKILL, step
    assert work(installation, discard)[0] == 0
    emptied = state(installation)
    assert (emptied["rows"], emptied["misfits"]) == (list(range(60)), 0)
    assert (emptied["books"], emptied["faults"]) == ([100, 60, 0, 60, 40], [])
    assert emptied["runs"] == [["done", 60], ["done", 40]]
