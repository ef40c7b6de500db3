"""What is wrong with a description is said before the engine is asked, at its place."""

from __future__ import annotations

from typing import Any

import pytest

from ingestion.ddl import ColumnSpec, SpecError, TableSpec, check
from ingestion.ddl.types import UnknownType, parse

N = ColumnSpec("n", "UInt8")


@pytest.mark.parametrize(
    ("spec", "column", "field"),
    [
        ({"columns": ()}, None, "columns"),
        ({"columns": (N, N)}, "n", "name"),
        ({"columns": (ColumnSpec("_n", "UInt8"),)}, "_n", "name"),
        ({"columns": (ColumnSpec("n", "UInt9"),)}, "n", "type"),
        ({"columns": (ColumnSpec("n", "UInt8", required=False),)}, "n", "default"),
        ({"columns": (ColumnSpec("n", "UInt8", required=False, default="300"),)}, "n", "default"),
        ({"columns": (ColumnSpec("n", "UInt8", required=False, default="x"),)}, "n", "default"),
        ({"columns": (ColumnSpec("n", "UInt8", default="1"),)}, "n", "default"),
        ({"columns": (ColumnSpec("n", "UInt8", path="a..b"),)}, "n", "path"),
        ({"columns": (N, ColumnSpec("m", "UInt8", path="n.m"))}, "m", "path"),
        ({"columns": (N,), "sorting_key": ("m",)}, None, "sorting_key"),
        (
            {"columns": (ColumnSpec("o", "Nullable(UInt8)"),), "sorting_key": ("o",)},
            None,
            "sorting_key",
        ),
        ({"columns": (N,), "partition_key": "toYYYYMM(time)"}, None, "partition_key"),
        ({"columns": (N,), "ttl": "n) SETTINGS x = 1"}, None, "ttl"),
        ({"columns": (N,), "ttl": "(SELECT 1)"}, None, "ttl"),
        ({"columns": (N,), "partition_key": "n; DROP TABLE t"}, None, "partition_key"),
        ({"columns": (N,), "quarantine_days": 0}, None, "quarantine_days"),
    ],
)
def test_each_mistake_has_its_place(spec: dict[str, Any], column: str | None, field: str) -> None:
    with pytest.raises(SpecError) as raised:
        check(TableSpec("d", "t", **spec))
    assert (column, field) in [(one.column, one.field) for one in raised.value.problems]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("DateTime64( 3 , 'UTC' )", "DateTime64(3, 'UTC')"),
        ("Decimal64(4)", "Decimal(18, 4)"),
        ("Enum8('a','b')", "Enum8('a' = 1, 'b' = 2)"),
        ("LowCardinality(Nullable(String))", "LowCardinality(Nullable(String))"),
        ("Map(String, Array(Nullable(Int8)))", "Map(String, Array(Nullable(Int8)))"),
    ],
)
def test_types_are_read_and_written(text: str, shown: str) -> None:
    assert str(parse(text)) == shown
    assert parse(shown) == parse(text)


@pytest.mark.parametrize(
    "text",
    [
        *("", "Foo", "UInt8(3)", "Array", "Array(UInt8", "Array(UInt8))", "Nullable(Array(UInt8))"),
        *(
            "Nullable(Nullable(UInt8))",
            "LowCardinality(UInt8)",
            "Map(UInt8, String)",
            "Decimal(80, 2)",
        ),
        *("DateTime('Mars/Base')", "DateTime64", "FixedString(0)", "Enum8", "Enum8('a'=1,'a'=2)"),
        *("Enum8('a' = 200)", "String; DROP TABLE t", "JSON", "Tuple(a UInt8)", "Dynamic"),
    ],
)
def test_other_texts_are_no_types(text: str) -> None:
    with pytest.raises(UnknownType):
        parse(text)
