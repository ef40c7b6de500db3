"""``manage.py infer`` proposes a table that ``apply`` creates, and saves nothing."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from django.core.management import CommandError, call_command

from ingestion.models import Source, Table
from ingestion.services.events import accept

EVENTS = [
    {"id": n, "time": "2026-01-02T03:04:05Z", "kind": "ab"[n % 2], "items": [{"sku": "x\n# y"}]}
    for n in range(40)
]
NDJSON = b"".join(json.dumps(one).encode() + b"\n" for one in EVENTS)


def infer(*arguments: str) -> str:
    out = io.StringIO()
    call_command("infer", *arguments, stdout=out)
    return out.getvalue()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "My orders.2026.ndjson"
    path.write_bytes(NDJSON)
    return path


def test_what_is_proposed_for_a_file_is_applied(
    file: Path, tenant_factory: Callable[..., Any], tmp_path: Path
) -> None:
    tenant = tenant_factory()
    text = infer(str(file), "--tenant", tenant.slug)
    assert "# always there; 40 distinct; 0 to 39" in text
    (tmp_path / "table.yaml").write_text(text)
    call_command("apply", str(tmp_path / "table.yaml"), stdout=io.StringIO())

    table = Table.objects.get(tenant=tenant)
    assert table.name == "my_orders"
    assert (table.sorting_key, table.partition_key) == (["kind", "time", "id"], "toYYYYMM(time)")
    assert [(one.name, one.type) for one in table.columns.all()] == [
        ("id", "Int64"),
        ("time", "DateTime64(3, 'UTC')"),
        ("kind", "LowCardinality(String)"),
        ("items", "Array(Tuple(sku LowCardinality(String)))"),
    ]


def test_nothing_is_saved(file: Path, db: None, clickhouse_server: str) -> None:
    infer(str(file))
    assert not Table.across_tenants.exists()


@pytest.mark.parametrize(
    ("content", "column"),
    [
        (NDJSON, "id"),
        (json.dumps(EVENTS).encode(), "id"),
        (b"id;name\n1;x\n2;y\n", "id"),
        (b"\xef\xbb\xbf" + NDJSON, "id"),
    ],
)
def test_standard_input_is_read_whatever_it_holds(
    content: bytes, column: str, monkeypatch: pytest.MonkeyPatch, clickhouse_server: str
) -> None:
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(content)))
    part = yaml.safe_load(infer("-", "--table", "t"))["tenants"][0]["tables"][0]
    assert part["name"] == "t"
    assert part["columns"][0] == {"name": column, "type": "Int64"}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "it is empty"),
        (b"[1, 2]", "None of the 2 messages is a JSON object"),
    ],
)
def test_a_sample_that_says_nothing_is_refused(
    content: bytes, words: str, monkeypatch: pytest.MonkeyPatch, clickhouse_server: str
) -> None:
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(content)))
    with pytest.raises(CommandError, match=words):
        infer("-")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "Name one sample"),
        (("a.csv", "--source", "t.s"), "Name one sample"),
        (("--connection", "t.c"), "--connection and --stream go together"),
        (("--source", "nobody.events"), "'nobody.events' is not TENANT.SOURCE. Tenants: none yet."),
        (("no-such-file.csv",), "the file does not exist"),
    ],
)
def test_a_sample_that_can_not_be_meant_is_refused(
    arguments: tuple[str, ...], words: str, db: None
) -> None:
    with pytest.raises(CommandError, match=words):
        infer(*arguments)


@pytest.mark.slow
def test_the_quarantine_and_the_events_that_wait_are_samples(
    tenant_factory: Callable[..., Any], table_factory: Callable[..., Any]
) -> None:
    table = table_factory(tenant_factory(), [{"name": "n", "type": "Int8"}])
    slug = table.tenant.slug
    with pytest.raises(CommandError, match=f"The quarantine of {slug}.{table.name} is empty"):
        infer("--quarantine", f"{slug}.{table.name}")
    with pytest.raises(CommandError, match="There is no source 'x'"):
        infer("--source", f"{slug}.x")

    source = Source.objects.create(tenant=table.tenant, name="events", table=table)
    accept(source, [b'{"n": 300}'])
    part = yaml.safe_load(infer("--source", f"{slug}.events"))["tenants"][0]
    assert (part["slug"], part["tables"][0]["name"]) == (slug, "events")
    assert part["tables"][0]["columns"] == [{"name": "n", "type": "Int64"}]
