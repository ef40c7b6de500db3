"""Replays of what is in quarantine, by processes that are killed, while messages flow."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from tests.chaos.harness.grounds import Grounds

if TYPE_CHECKING:
    from ingestion.models import QuarantineRun

ROOT = Path(__file__).resolve().parents[3]


def replay_and_kill(grounds: Grounds, table: str, chance: Random, kills: int) -> None:
    """Replay all that is in a table's quarantine, ``kills`` times with a process that is killed.

    Fails if nothing was moved.
    """
    _await_applied(grounds, table)
    code = f"from tests.chaos.harness.mending import moved, replay\nreplay({table!r})"
    for _ in range(kills):
        process = subprocess.Popen(
            [sys.executable, "-c", f"import django; django.setup()\n{code}"],
            env=grounds.running.environment | {"DJANGO_SETTINGS_MODULE": "millrace.settings"},
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        # It says so when it begins: a process takes seconds to start on a busy machine.
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(chance.uniform(0.0, 0.5))
        process.kill()
        process.wait()
    moved = int(grounds.running.python(f"{code}\nprint(moved({table!r}))").split()[-1])
    assert moved > 0, f"No message of {table} was replayed."


def replay(table: str) -> None:
    """Start a replay, and finish all that there are. Runs in a process of the installation."""
    from contextlib import suppress

    from ingestion.models import Table
    from ingestion.services import quarantine_runs

    of = Table.across_tenants.get(tenant__slug="chaos", name=table)
    with suppress(quarantine_runs.RunRefused):  # It has no message in quarantine any more.
        quarantine_runs.replay(quarantine_runs.selected(of))
    print("begins", flush=True)  # noqa: T201 - for the process that kills this one
    while pending := _pending(table):
        for run in pending:
            if not quarantine_runs.work(run.pk):
                time.sleep(0.2)


def moved(table: str) -> int:
    """How many messages all replays have moved. Runs in a process of the installation."""
    return sum(run.moved for run in _runs(table))


def _pending(table: str) -> list[QuarantineRun]:
    from ingestion.models.run import GOES_ON

    return [
        run
        for run in _runs(table)
        if run.state in GOES_ON or run.chunks.filter(done_at=None).exists()
    ]


def _runs(table: str) -> list[QuarantineRun]:
    from ingestion.models import QuarantineRun

    return list(QuarantineRun.across_tenants.filter(table__name=table, table__tenant__slug="chaos"))


def _await_applied(grounds: Grounds, table: str) -> None:
    """Until ClickHouse has the table as it was last asked for."""
    sql = f"SELECT applied = generation FROM ingestion_table WHERE name = '{table}'"
    grounds.await_(lambda: grounds.postgres(sql) == [(True,)], f"{table} was not applied")
