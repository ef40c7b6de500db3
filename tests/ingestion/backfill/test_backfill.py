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
from ingestion.provision import provision_table
from ingestion.services.tables import request_table
from tenants.models import Tenant
from tenants.warehouse import client

COLUMNS = [
    {"name": "n", "type": "UInt32"},
    {"name": "t", "type": "DateTime64(3)"},
    {"name": "s", "type": "String", "path": "user.name"},
    {"name": "d", "type": "Nullable(Decimal(18, 4))", "required": False},
    {"name": "b", "type": "Bool", "required": False, "default": "false"},
]

FORMATTED = [
    {"name": "n", "type": "UInt32"},
    {"name": "weather", "type": "Date", "format": "%Y/%m/%d"},
    {"name": "stocks", "type": "Date", "format": "%b %d %Y"},
    {"name": "digits", "type": "Nullable(Date)", "required": False, "format": "%Y%m%d"},
    {"name": "ms", "type": "Nullable(DateTime64(3))", "required": False, "format": "ms"},
    {"name": "open", "type": "Nullable(Bool)", "required": False, "format": "yes/no"},
    {
        "name": "payload",
        "type": "Array(UInt8)",
        "required": False,
        "default": "[]",
        "format": "json",
    },
    {
        "name": "bytes",
        "type": "String",
        "required": False,
        "default": '""',
        "format": "base64",
    },
]
MOMENT = "2023-11-14 22:13:20.123"


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
    assert "2,500 rows landed" in said
    assert "2 are in quarantine" in said
    assert "0 were skipped" in said
    assert (count(table), count(table, "events__quarantine")) == (2500, 2)
    assert "0 rows landed" in (again := run(table, file, chunk_rows=7))
    assert "2,502 were skipped" in again
    copy = tmp_path / f"copy.ndjson{suffix}"
    copy.write_bytes(file.read_bytes())
    assert "2,502 were skipped" in run(table, copy)
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
    assert "200 were skipped" in run(table, file, chunk_rows=333)
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
        (tmp_path / "none.csv", "the file does not exist"),
        (unknown, "--format"),
        (cut, "can't be read as ndjson, gzip"),
        (fake, "can't be read as parquet"),
        (empty, "it is empty"),
    ):
        with pytest.raises(CommandError, match=says):
            run(table, file)
    with pytest.raises(CommandError, match="has no table 'other'"):
        call_command("backfill", f"{table.tenant.slug}.other", str(cut))
    with pytest.raises(CommandError, match="There is no tenant 'nobody'"):
        call_command("backfill", "nobody.t", str(cut))


# --- Rows that do not fit -------------------------------------------------------------------------


def refused(table: Table, file: Path, says: str, **options: Any) -> str:
    out = io.StringIO()
    with pytest.raises(CommandError, match=says) as raised:
        call_command("backfill", str(table), str(file), stdout=out, stderr=io.StringIO(), **options)
    assert raised.value.returncode == 1
    return out.getvalue()


def test_a_file_that_hardly_fits_is_refused_before_its_first_row(
    table: Table, tmp_path: Path
) -> None:
    file = tmp_path / "history.ndjson"
    file.write_bytes(
        ndjson(0, 1000) + ndjson(1, 5502).replace(b'{"n": ', b'{"n": -') + ndjson(0, 9000)
    )
    # Also in chunks of less than the 10,000 rows that are tried.
    says = "5,501 of 10,000 rows from row 1 on would not fit .*: mostly out_of_range in n"
    refused(table, file, says)
    refused(table, file, says, chunk_rows=3000)
    assert (count(table), count(table, "events__quarantine")) == (0, 0)
    backfill = Backfill.objects.get(table=table)
    assert (backfill.state, backfill.rows) == ("failed", 0)
    assert "mostly out_of_range in n" in backfill.error
    # Whoever wants it all the same gets it, once.
    said = run(table, file, quarantine_limit=0)
    assert "10,000 rows landed" in said
    assert "5,501 are in quarantine" in said
    assert (count(table), count(table, "events__quarantine")) == (10_000, 5501)


def test_a_mended_table_takes_all_of_a_file_that_was_refused(table: Table, tmp_path: Path) -> None:
    file = tmp_path / "history.ndjson"
    file.write_bytes(ndjson(0, 100).replace(b'"name": ', b'"id": '))
    refused(table, file, "100 of 100 rows .* mostly missing in s. Correct the table or the file")
    table.columns.filter(name="s").update(path="user.id")
    request_table(table)
    provision_table(table)
    assert "100 rows landed" in run(table, file)
    assert count(table) == 100


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_dates_of_well_known_files_load_by_the_formats_of_their_columns(
    suffix: str,
    tenant_factory: Callable[..., Tenant],
    table_factory: Callable[..., Table],
    tmp_path: Path,
) -> None:
    """Of vega-datasets' seattle-weather.csv (2012/01/01) and stocks.csv (Jan 1 2000)."""
    table = table_factory(tenant_factory(), FORMATTED, sorting_key=["n"])
    file = tmp_path / f"dates.{suffix}"
    texts = {
        "n": ["1", "2", "3"],
        "weather": ["2012/01/01", "2012/12/31", "2012/02/30"],
        "stocks": ["Jan 1 2000", "Dec 31 2010", "Jan 1 2000"],
        "digits": ["20120101", "", "20120101"],
        "ms": ["1700000000123", "", ""],
        "open": ["yes", "", "no"],
        "payload": ["[1,2]", "", "[]"],
        "bytes": ["/+8=", "", ""],
    }
    if suffix == "csv":
        lines = [texts.keys(), *zip(*texts.values(), strict=True)]
        file.write_text("\n".join(",".join(f'"{one}"' for one in line) for line in lines))
    else:
        of_columns: dict[str, Any] = {
            name: [one or None for one in values] for name, values in texts.items()
        }
        of_columns |= {"n": [1, 2, 3], "ms": [1700000000123, None, None]}
        pq.write_table(pa.table(of_columns), file)
    run(table, file)
    shown = "toString(weather), toString(stocks), toString(digits), toString(ms), open, payload"
    assert rows(table, f"{shown}, hex(bytes)") == [
        *(("2012-01-01", "2000-01-01", "2012-01-01", MOMENT, True, [1, 2], "FFEF"),),
        *(("2012-12-31", "2010-12-31", None, None, None, [], ""),),
    ]
    found = client.rows(
        "SELECT `column`, expected, value FROM "
        f"{table.tenant.warehouse.database}.events__quarantine"
    )
    assert [tuple(row.values()) for row in found] == [
        ("weather", "Date in the format %Y/%m/%d", '"2012/02/30"')
    ]


def test_arrays_of_objects_are_the_same_from_every_kind_of_file(
    tenant_factory: Callable[..., Tenant], table_factory: Callable[..., Table], tmp_path: Path
) -> None:
    kind = "Nested(sku String, price Decimal(9, 2), note Nullable(String))"
    columns = [{"name": "n", "type": "UInt32"}, {"name": "items", "type": kind}]
    table = table_factory(tenant_factory(), columns, sorting_key=["n"])
    items = [{"sku": "a", "price": Decimal("1.50"), "note": None}, {"sku": "b", "price": 2}]
    text = '[{"sku":"a","price":1.50},{"sku":"b","price":2,"note":null}]'
    files = [tmp_path / f"items.{suffix}" for suffix in ("ndjson", "csv", "parquet")]
    files[0].write_text(f'{{"n":1,"items":{text}}}\n{{"n":4,"items":[]}}\n')
    quoted = text.replace('"', '""')
    files[1].write_text(f'n,items\n2,"{quoted}"\n5,[]\n')
    of_items = [("sku", pa.string()), ("price", pa.decimal128(9, 2)), ("note", pa.string())]
    listed = pa.array([items, []], pa.list_(pa.struct(of_items)))
    pq.write_table(pa.table({"n": pa.array([3, 6]), "items": listed}), files[2])
    run(table, *files)
    shown = "[('a',1.5,NULL),('b',2,NULL)]"
    assert rows(table, "n, toString(items)") == [
        *((number, shown) for number in (1, 2, 3)),
        *((number, "[]") for number in (4, 5, 6)),
    ]


@pytest.mark.slow
def test_one_that_no_longer_fits_is_stopped_and_goes_on_when_told(
    table: Table, tmp_path: Path
) -> None:
    file = tmp_path / "history.ndjson"
    file.write_bytes(ndjson(0, 6000) + ndjson(1, 19_001).replace(b'{"n": ', b'{"n": -'))
    # The first 10,000 rows may be loaded: 4,000 of them do not fit.
    refused(table, file, "stopped, because 7,000 of 13,000 rows did not fit", chunk_rows=1000)
    assert (count(table), count(table, "events__quarantine")) == (6000, 7000)
    # By itself it goes no further: what is next is tried out first.
    refused(table, file, "10,000 of 10,000 rows from row 13,001 on would not fit")
    assert count(table, "events__quarantine") == 7000
    told = refused(
        table, file, r"More than half .* history.ndjson \(19,000 of 25,000\)", quarantine_limit=0
    )
    assert "0 rows landed" in told
    assert "12,000 are in quarantine, 13,000 were skipped" in told
    assert "had loaded them, 7,000 of them into quarantine" in told
    assert (count(table), count(table, "events__quarantine")) == (6000, 19_000)
    # It is loaded, and the exit status stays what it is.
    assert "25,000 were skipped" in refused(table, file, "More than half")


@pytest.mark.parametrize(
    ("fitting", "misfits", "landed"), [(0, 2, 0), (1, 2, 1), (1, 1, 1), (2, 0, 2)]
)
def test_each_run_says_what_landed_and_fails_if_hardly_anything_fitted(
    fitting: int, misfits: int, landed: int, table: Table, tmp_path: Path
) -> None:
    file = tmp_path / "history.ndjson"
    file.write_bytes(ndjson(0, fitting) + b'{"n": -1}\n' * misfits)
    end = (
        refused
        if misfits > fitting
        else lambda table, file, _, **options: run(table, file, **options)
    )
    shares = rf"\({'all 2' if not fitting else '2 of 3'}\)"
    said = end(table, file, shares, quarantine_limit=0)
    assert f"{landed} rows landed in {table}, {misfits} are in quarantine, 0 were" in said
    again = end(table, file, shares)
    assert f"0 rows landed in {table}, 0 are in quarantine, {landed + misfits} were" in again
    assert (f"{misfits} of them into quarantine" in again) == bool(misfits)
    for words in (said, again):
        assert (f"To see what did not fit, and why: manage.py quarantine {table}" in words) == bool(
            misfits
        )


def test_a_remark_is_told_and_kept(table: Table, tmp_path: Path) -> None:
    file = tmp_path / "history.csv"
    file.write_text("n,t,user.name,D\n1,2026-01-01T00:00:00Z,a,2\n")
    err = io.StringIO()
    call_command("backfill", str(table), str(file), stdout=io.StringIO(), stderr=err)
    assert "history.csv: it lacks optional columns" in err.getvalue()
    assert "'D' is not 'd'" in err.getvalue()
    assert "'D' is not 'd'" in Backfill.objects.get(table=table).remark
    assert rows(table, "d, b") == [(None, False)]


def test_a_file_without_rows_exits_with_1(table: Table, tmp_path: Path) -> None:
    file = tmp_path / "history.csv"
    file.write_text("n,t,s\n")
    refused(table, file, "it has no rows")
    with pytest.raises(CommandError, match="0 to 100, not 101"):
        run(table, file, quarantine_limit=101)


def test_int96_lands_with_its_digits(
    tenant_factory: Callable[..., Tenant], table_factory: Callable[..., Table], tmp_path: Path
) -> None:
    columns = [{"name": "n", "type": "UInt8"}, {"name": "t", "type": "DateTime64(9)"}]
    table = table_factory(tenant_factory("spark"), columns, sorting_key=["n"])
    file = tmp_path / "history.parquet"
    instants = pa.array([1_767_225_600_123_456_789, 1_767_225_600_000_000_000], pa.timestamp("ns"))
    pq.write_table(
        pa.table({"n": [1, 2], "t": instants}), file, use_deprecated_int96_timestamps=True
    )
    run(table, file)
    assert rows(table, "toString(t) AS t") == [
        ("2026-01-01 00:00:00.123456789",),
        ("2026-01-01 00:00:00.000000000",),
    ]


def test_a_column_may_read_the_name_of_the_file_and_the_number_of_the_row(
    tenant_factory: Callable[..., Tenant], table_factory: Callable[..., Table], tmp_path: Path
) -> None:
    columns = [
        {"name": "n", "type": "UInt8"},
        {"name": "file", "type": "String", "metadata": "file"},
        {"name": "row", "type": "UInt64", "metadata": "row"},
        {"name": "key", "type": "Nullable(String)", "required": False, "metadata": "key"},
    ]
    made = table_factory(tenant_factory(), columns, sorting_key=["n"])
    parquet = tmp_path / "b.parquet"
    pq.write_table(pa.table({"n": [3, 4]}), parquet)
    (tmp_path / "a.csv").write_text("n,file\n1,own\n300,own\n2,own\n")
    run(made, tmp_path / "a.csv", parquet, chunk_rows=1, quarantine_limit=0)
    assert rows(made, "n, file, row, key") == [
        (1, "a.csv", 1, None),
        (2, "a.csv", 3, None),
        (3, "b.parquet", 1, None),
        (4, "b.parquet", 2, None),
    ]
    database = made.tenant.warehouse.database
    (misfit,) = client.rows(f"SELECT _metadata FROM {database}.events__quarantine")
    assert misfit["_metadata"] == '{"file":"a.csv","row":2,"key":null}'
