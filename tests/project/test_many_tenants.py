"""The documented commands from making to deleting a tenant, run as they stand there."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.documentation import ROOT, blocks

BLOCKS = blocks("run: lifecycle")
#: The tenant that "Your own stream" has made, in small.
FILL = """
from ingestion.services.events import accept
from ingestion.consume.loop import Slice
from ingestion.models import Column, Source, Table
from ingestion.provision import provision_table
from tenants.services.tenants import make
from tenants.provisioning.warehouse import provision

tenant = make("shop", "Shop")
provision(tenant.warehouse)
table = Table.objects.create(tenant=tenant, name="orders", sorting_key=["id"])
Column.objects.create(table=table, name="id", type="UInt64")
Column.objects.create(table=table, name="country", type="String", position=1)
provision_table(table)
source = Source.objects.create(tenant=tenant, name="orders", table=table)
accept(source, [b'{"id": 1, "country": "PL"}', b'{"id": 2, "country": "DE"}'])
accept(source, [b'{"id": -1, "country": "PL"}'])
Slice(None, seconds=1.5).run()
"""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def test_every_command_does_what_the_page_says(installation: Any, tmp_path: Path) -> None:
    installation.start("postgres", "clickhouse", "valkey", "web")
    installation.python(FILL)
    assert len(BLOCKS) == 3
    script = "\n".join(f"echo '--- {number}'\n{block}" for number, block in enumerate(BLOCKS))
    script = script.replace("shop-export", str(tmp_path / "export"))
    opening = 'source .venv/bin/activate; eval "$(make -s env)"'
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", f"{opening}\n{script}"],
        cwd=ROOT,
        env=installation.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    made, gone, over_http = re.split(r"--- \d\n", done.stdout)[1:]
    assert "acme was suspended" in made
    assert "acme\tActive\tweight 2\tAcme Ltd" in made
    assert "tables/orders.parquet: 2 rows" in gone
    assert "2 rows would be erased" in gone
    assert "2 rows were erased." in gone
    assert "shop was deleted. Nothing is left." in gone
    assert (tmp_path / "export" / "manifest.json").exists()
    answers = over_http.strip().splitlines()
    assert '"weight": 3' in answers[1]
    assert '"status": "suspended"' in answers[2]
    assert '"deleted": true' in answers[3]
