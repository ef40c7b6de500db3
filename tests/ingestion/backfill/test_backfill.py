"""History from files: by the table's own typing, in chunks, and never twice."""

from __future__ import annotations

import gzip
import io
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from django.core.management import CommandError, call_command

from ingestion.backfill import load as loading
from ingestion.models import Backfill, BackfillChunk, Table
from tenants.models import Tenant
from tenants.warehouse import client

COLUMNS = [
    {"name": "n", "type": "UInt32"},
    {"name": "t", "type": "DateTime64(3)"},
    {"name": "s", "type": "String", "path": "user.name"},
    {"name": "d", "type": "Nullable(Decimal(18, 4))", "required": False},
    {"name": "b", "type": "Bool", "required": False, "default": "false"},
]


@pytest.fixture
def table(tenant_factory: Callable[..., Tenant], table_factory: Callable[..., Table]) -> Table:
    return table_factory(tenant_factory("history"), COLUMNS, sorting_key=["n"])


def run(table: Table, *files: Path, **options: Any) -> str:
    out = io.StringIO()
    call_command(
        "backfill", str(table), *map(str, files), stdout=out, stderr=io.StringIO(), **options
    )
    return out.getvalue()


def rows(table: Table, columns: str = "n, toString(t) AS t, s, toString(d) AS d, b") -> list[Any]:
    sql = f"SELECT {columns} FROM {table.tenant.warehouse.database}.events ORDER BY n"
    return [tuple(row.values()) for row in client.rows(sql)]


def count(table: Table, name: str = "events") -> int:
    found = client.rows(f"SELECT count() AS c FROM {table.tenant.warehouse.database}.{name}")
    return int(found[0]["c"])


def ndjson(start: int, end: int) -> bytes:
    line = '{"n": %d, "t": "2026-01-01T00:00:00Z", "user": {"name": "u%d"}}\n'
    return "".join(line % (n, n) for n in range(start, end)).encode()


@pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])
def test_ndjson_is_loaded_once(suffix: str, table: Table, tmp_path: Path) -> None:
    pack = {"": bytes, ".gz": gzip.compress, ".zst": zstandard.compress}[suffix]
    file = tmp_path / f"history.ndjson{suffix}"
    file.write_bytes(pack(ndjson(0, 2500) + b'\n{"n": "x"}\nnot json'))
    said = run(table, file, chunk_rows=1000)
    assert "2,502 rows loaded" in said
    assert "2 did not fit" in said
    assert (count(table), count(table, "events__quarantine")) == (2500, 2)
    assert "nothing to load" in run(table, file, chunk_rows=7)
    copy = tmp_path / f"copy.ndjson{suffix}"
    copy.write_bytes(file.read_bytes())
    assert "nothing to load" in run(table, copy)
    assert count(table) == 2500


def test_csv_rows_become_what_the_columns_ask_for(table: Table, tmp_path: Path) -> None:
    file = tmp_path / "history.csv"
    file.write_text(
        'n,t,user.name,d,b,extra\r\n1,2026-01-01T00:00:00Z,"a ""q"",\nb",1.2300,true,z\r\n'
        "2,1700000000,7,,,\r\n3,2026-01-01T00:00:00Z,,,false,\r\nx,2026-01-01T00:00:00Z,s,,,\r\n1,2\r\n"
    )
    run(table, file)
    assert rows(table) == [
        (1, "2026-01-01 00:00:00.000", 'a "q",\nb', "1.23", True),
        (2, "2023-11-14 22:13:20.000", "7", None, False),
        (3, "2026-01-01 00:00:00.000", "", None, False),
    ]
    found = client.rows(
        "SELECT reason, `column`, value FROM "
        f"{table.tenant.warehouse.database}.events__quarantine ORDER BY reason"
    )
    assert [tuple(row.values()) for row in found] == [
        ("not_an_object", "", '["1", "2"]'),
        ("wrong_type", "n", '"x"'),
    ]


def test_parquet_keeps_digits_and_zones(table: Table, tmp_path: Path) -> None:
    file = tmp_path / "history.parquet"
    pq.write_table(
        pa.table(
            {
                "n": pa.array([1, 2], pa.int64()),
                "t": pa.array([datetime(2026, 1, 1, tzinfo=UTC)] * 2, pa.timestamp("ms", "UTC")),
                "user": pa.array([{"name": "é"}, {"name": "b"}]),
                "d": pa.array([Decimal("12345678901234.5678"), None]),
                "b": pa.array([True, None]),
            }
        ),
        file,
    )
    run(table, file)
    assert rows(table) == [
        (1, "2026-01-01 00:00:00.000", "é", "12345678901234.5678", True),
        (2, "2026-01-01 00:00:00.000", "b", None, False),
    ]


@pytest.mark.parametrize("landed", [True, False])
def test_a_run_that_was_killed_is_gone_on_with_and_doubles_nothing(
    landed: bool, table: Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "history.ndjson"
    file.write_bytes(ndjson(0, 1000))
    insert, calls = loading.inbox.insert, []

    def dies_at_the_third(*args: Any) -> None:
        calls.append(1)
        if len(calls) == 3:
            if landed:
                insert(*args)
            raise KeyboardInterrupt
        insert(*args)

    with monkeypatch.context() as patched:
        patched.setattr(loading.inbox, "insert", dies_at_the_third)
        with pytest.raises(CommandError, match="Run the same command again"):
            run(table, file, chunk_rows=100)
    assert BackfillChunk.objects.filter(backfill__table=table, done_at=None).count() == 1
    # Other chunk sizes do not matter: what was begun ends where it was to end.
    assert "after 200 that were there already" in run(table, file, chunk_rows=333)
    assert rows(table, "n") == [(n,) for n in range(1000)]
    assert Backfill.objects.get(table=table).state == "done"


def test_wrong_files_are_refused_with_what_to_do(table: Table, tmp_path: Path) -> None:
    unknown = tmp_path / "history.xls"
    unknown.write_text("")
    cut = tmp_path / "cut.ndjson.gz"
    cut.write_bytes(gzip.compress(ndjson(0, 100_000))[:-100])
    fake = tmp_path / "fake.parquet"
    fake.write_text("no parquet")
    empty = tmp_path / "empty.csv"
    empty.write_text("")
    for file, says in (
        (tmp_path / "none.csv", "there is no such file"),
        (unknown, "--format"),
        (cut, "can't be read as ndjson, gzip"),
        (fake, "can't be read as parquet"),
        (empty, "begins with the names of its columns"),
    ):
        with pytest.raises(CommandError, match=says):
            run(table, file)
    with pytest.raises(CommandError, match="has no table 'other'"):
        call_command("backfill", f"{table.tenant.slug}.other", str(cut))
    with pytest.raises(CommandError, match="There is no tenant 'nobody'"):
        call_command("backfill", "nobody.t", str(cut))
