"""Each Arrow type lands with exactly its value, or is refused or quarantined with the reason."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from django.core.management import call_command

from ingestion.backfill.errors import FileUnreadable
from ingestion.backfill.file import describe
from ingestion.backfill.readers import READERS, parquet
from ingestion.ddl.spec import ColumnSpec
from ingestion.models import Table
from tenants.models import Tenant
from tenants.warehouse import client

OPTIONAL = [ColumnSpec(name="n", type="Nullable(UInt32)", required=False)]
SENTINEL = 253_402_300_799_999_999  # 9999-12-31T23:59:59.999999Z in microseconds


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., list[bytes]]:
    """What a file becomes whose column ``n`` is that array."""

    def messages(column: pa.Array, **options: Any) -> list[bytes]:
        path = tmp_path / "a.parquet"
        pq.write_table(pa.table({"n": column}), path, **options)
        file = describe(path)
        return [one for part in READERS[file.format](file, OPTIONAL) for one in part.messages]

    return messages


def values(messages: list[bytes]) -> list[Any]:
    return [json.loads(message, parse_float=str)["n"] for message in messages]


# --- INT96 ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("store_schema", [True, False])
def test_int96_that_nanoseconds_can_not_hold_keeps_its_digits(
    store_schema: bool, read: Callable[..., list[bytes]]
) -> None:
    def written(column: pa.Array) -> list[Any]:
        options = {"use_deprecated_int96_timestamps": True, "store_schema": store_schema}
        return values(read(column, **options))

    far = pa.array([SENTINEL, None, 1, -62_135_596_800_000_000], pa.timestamp("us"))
    assert written(far) == [
        "9999-12-31T23:59:59.999999Z",
        None,
        "1970-01-01T00:00:00.000001Z",
        "0001-01-01T00:00:00Z",
    ]
    near = pa.array([9_223_372_036_854_775_807, -(2**63) + 1], pa.timestamp("ns"))
    assert written(near) == ["2262-04-11T23:47:16.854775807Z", "1677-09-21T00:12:43.145224193Z"]
    nested = pa.array([[SENTINEL // 1000], None, []], pa.list_(pa.timestamp("ms")))
    assert written(nested) == [["9999-12-31T23:59:59.999Z"], None, []]
    struct = pa.array([{"a": {"b": [SENTINEL // 1000]}}], pa.struct(
        {"a": pa.struct({"b": pa.list_(pa.timestamp("ms"))})}
    ))  # fmt: skip
    assert written(struct) == [{"a": {"b": ["9999-12-31T23:59:59.999Z"]}}]
    with pytest.raises(FileUnreadable, match="INT96 times before 1677 or after 2262"):
        written(pa.array([[SENTINEL]], pa.list_(pa.timestamp("us"))))


def test_int96_is_whole_in_every_batch_and_under_compression(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet, "_ROWS", 7)
    ticks = [SENTINEL - n if n % 3 else n for n in range(100)]
    plain = io.BytesIO()
    pq.write_table(
        pa.table({"x": ["x" * n for n in range(100)], "n": pa.array(ticks, pa.timestamp("us"))}),
        plain,
        use_deprecated_int96_timestamps=True,
        row_group_size=10,
    )
    path = tmp_path / "a.parquet.gz"
    path.write_bytes(gzip.compress(plain.getvalue()))
    messages = [one for part in parquet.read(describe(path), OPTIONAL) for one in part.messages]
    assert [json.loads(message)["n"] for message in messages[:3]] == [
        "1970-01-01T00:00:00Z",
        "9999-12-31T23:59:59.999998Z",
        "9999-12-31T23:59:59.999997Z",
    ]
    assert len(messages) == 100


# --- Every other type -----------------------------------------------------------------------------


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "UTC", "+02:00", "Europe/Berlin", "Mars/Olympus"])
def test_a_timestamp_of_every_unit_and_zone_is_its_instant(
    unit: str, zone: str | None, read: Callable[..., list[bytes]]
) -> None:
    ticks = {"s": 1, "ms": 1000, "us": 10**6, "ns": 10**9}[unit] * 1_767_225_600
    column = pa.array([ticks, None, -1], pa.timestamp(unit, zone))
    before = {"s": "59Z", "ms": "59.999Z", "us": "59.999999Z", "ns": "59.999999999Z"}[unit]
    shown = ["2026-01-01T00:00:00Z", None, f"1969-12-31T23:59:{before}"]
    assert values(read(column)) == shown
    assert values(read(pa.array([[ticks]], pa.list_(pa.timestamp(unit, zone))))) == [shown[:1]]


U = UUID("550e8400-e29b-41d4-a716-446655440000")


@pytest.mark.parametrize(
    ("column", "shown"),
    [
        (pa.array([U.bytes, None], pa.uuid()), [str(U), None]),
        (pa.array([True, None], pa.bool_()), [True, None]),
        (pa.array([0, 1, None], pa.int8()).cast(pa.bool8()), [False, True, None]),
        (pa.array(['{"a": 1}'], pa.json_()), ['{"a": 1}']),
        (pa.array([Decimal("-1.50")], pa.decimal32(5, 2)), ["-1.50"]),
        (pa.array([Decimal("9" * 32 + ".123456")], pa.decimal128(38, 6)), ["9" * 32 + ".123456"]),
        (pa.array([Decimal("1e-70")], pa.decimal256(76, 70)), ["0." + "0" * 69 + "1"]),
        (pa.array([Decimal("-" + "9" * 76)], pa.decimal256(76, 0)), [-int("9" * 76)]),
        (pa.array([1.5], pa.float16()), ["1.5"]),
        (pa.array(["é", None], pa.string_view()), ["é", None]),
        (pa.array([b"abc", None], pa.binary_view()), ["abc", None]),
        (pa.array([[1], None], pa.list_view(pa.timestamp("s"))), [["1970-01-01T00:00:01Z"], None]),
        (pa.array([[1, None], None], pa.list_(pa.int64(), 2)), [[1, None], None]),
        (pa.array([1, 1, None], pa.timestamp("ns")).dictionary_encode(),
         ["1970-01-01T00:00:00.000000001Z"] * 2 + [None]),
        (pa.array([Decimal("1.5")]).dictionary_encode(), ["1.5"]),
        (pa.array([[{"a": Decimal("1.5"), "b": None}, None], None]),
         [[{"a": "1.5", "b": None}, None], None]),
        (pa.array([[("é", 1), ('"', 2)]], pa.map_(pa.string(), pa.int8())), [{"é": 1, '"': 2}]),
        (pa.array([[(1, "a")]], pa.map_(pa.date32(), pa.string())), [{"1970-01-02": "a"}]),
        (pa.MapArray.from_arrays([0, 1], pa.array([U.bytes], pa.uuid()), pa.array([1])),
         [{str(U): 1}]),
        (pa.array([[({"é": 1}, 1)]], pa.map_(pa.struct({"é": pa.int8()}), pa.int8())),
         [{'{"é":1}': 1}]),
    ],
)  # fmt: skip
@pytest.mark.parametrize("store_schema", [True, False])
def test_a_value_of_each_type_is_written_whole(
    column: pa.Array, shown: list[Any], store_schema: bool, read: Callable[..., list[bytes]]
) -> None:
    if isinstance(column.type, pa.Bool8Type) and not store_schema:
        shown = [None if flag is None else int(flag) for flag in shown]
    assert values(read(column, store_schema=store_schema)) == shown


def test_a_map_loses_no_key_that_it_has_twice_and_none_that_is_no_text(
    read: Callable[..., list[bytes]],
) -> None:
    pairs = pa.map_(pa.binary(), pa.int64())
    messages = read(pa.array([[(b"k", 1), (b"k", 2)], [(b"\xff", 1)], None, []], pairs))
    assert messages == [
        b'{"n":[["k",1],["k",2]]}',
        b'{"n":{"\xff":1}}',
        b'{"n":null}',
        b'{"n":{}}',
    ]


def test_a_struct_with_two_fields_of_one_name_is_refused(read: Callable[..., list[bytes]]) -> None:
    twice = pa.StructArray.from_arrays([pa.array([1]), pa.array([2])], ["a", "a"])
    with pytest.raises(FileUnreadable, match=r"it has 'n.a' more than once"):
        read(twice)
    with pytest.raises(FileUnreadable, match=r"it has 'n.b.a' more than once"):
        read(pa.StructArray.from_arrays([twice], ["b"]))


def test_a_type_that_is_not_known_is_refused_with_its_column(
    read: Callable[..., list[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    # No file can be written with a type that is unknown today, but a later Arrow may have one.
    known = [
        kind for kind in parquet.unknown.__globals__["_BY_TYPE"] if kind[0](pa.int8()) is False
    ]
    monkeypatch.setitem(parquet.unknown.__globals__, "_BY_TYPE", tuple(known))
    for column in (pa.array([1]), pa.array([[{"a": 1}]]), pa.array([1]).dictionary_encode()):
        with pytest.raises(FileUnreadable, match="its column 'n' has the type int64, which can't"):
            read(column)


# --- In the engine --------------------------------------------------------------------------------

COLUMNS = [
    {"name": "n", "type": "UInt8"},
    {"name": "d128", "type": "Nullable(Decimal(38, 6))", "required": False},
    {"name": "d256", "type": "Nullable(Decimal(76, 70))", "required": False},
    {"name": "t", "type": "Nullable(DateTime64(6))", "required": False},
    {"name": "u", "type": "Nullable(UUID)", "required": False},
    {"name": "b", "type": "Nullable(String)", "required": False},
    {"name": "m", "type": "Map(String, Int64)", "required": False, "default": "{}"},
    {"name": "tags", "type": "Array(LowCardinality(String))", "required": False, "default": "[]"},
]


def test_values_land_in_the_engine_or_are_in_quarantine_with_the_reason(
    tenant_factory: Callable[..., Tenant], table_factory: Callable[..., Table], tmp_path: Path
) -> None:
    table = table_factory(tenant_factory("parquet"), COLUMNS, sorting_key=["n"])
    path = tmp_path / "a.parquet"
    large, small = "9" * 32 + ".123456", "0." + "0" * 69 + "1"
    pq.write_table(
        pa.table(
            {
                "n": pa.array(range(1, 7), pa.int8()),
                "d128": pa.array(
                    [Decimal(large), None, None, None, None, None], pa.decimal128(38, 6)
                ),
                "d256": pa.array(
                    [Decimal(small), None, None, None, None, None], pa.decimal256(76, 70)
                ),
                "t": pa.array(
                    [1, None, SENTINEL * 10, None, None, None], pa.timestamp("us", "+05:30")
                ),
                "u": pa.array([U.bytes, None, None, None, None, None], pa.uuid()),
                "b": pa.array([b"abc", b"", None, b"\xff\x00", None, None]),
                "m": pa.array(
                    [[("é", 1)], [], [], [], [("k", 1), ("k", 2)], []],
                    pa.map_(pa.string(), pa.int64()),
                ),
                "tags": pa.array([["x", "y"], [], [], [], [], []]),
            }
        ),
        path,
    )
    call_command("backfill", str(table), str(path), "--quarantine-limit=0", stdout=io.StringIO())
    database = table.tenant.warehouse.database
    landed = client.rows(
        "SELECT n, toString(d128) AS d128, toString(d256) AS d256, toString(t) AS t, "
        f"toString(u) AS u, hex(b) AS b, m, tags FROM {database}.events ORDER BY n"
    )
    nothing = {"d128": None, "d256": None, "t": None, "u": None, "m": {}, "tags": []}
    assert landed == [
        {
            "n": 1,
            "d128": large,
            "d256": small,
            "t": "1970-01-01 00:00:00.000001",
            "u": str(U),
            "b": b"abc".hex(),
            "m": {"é": 1},
            "tags": ["x", "y"],
        },
        {"n": 2, "b": "", **nothing},
        {"n": 6, "b": None, **nothing},
    ]
    misfits = client.rows(
        f"SELECT n, reason, `column`, value FROM (SELECT _offset + 1 AS n, * FROM "
        f"{database}.events__quarantine) ORDER BY n"
    )
    assert [tuple(row.values()) for row in misfits] == [
        (3, "invalid_value", "t", '"2534023007999 seconds since 1970"'),
        (4, "invalid_utf8", "", ""),
        (5, "wrong_type", "m", '[["k",1],["k",2]]'),
    ]
