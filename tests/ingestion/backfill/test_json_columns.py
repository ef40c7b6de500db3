"""Columns that Arrow writes become the very bytes that value by value they would become."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from typing import Any

import orjson
import pyarrow as pa
import pytest

from ingestion.backfill.readers import json_columns
from ingestion.backfill.readers.json_columns import messages
from ingestion.backfill.readers.values import values

Chance = random.Random


def one_by_one(names: list[str], columns: list[Any]) -> list[bytes]:
    rows = zip(*(values(column) for column in columns), strict=True)
    return [orjson.dumps(dict(zip(names, row, strict=True))) for row in rows]


def ticks(chance: Chance, of_a_second: int) -> int:
    whole = chance.randrange(-62_135_596_800, 253_402_300_800) * of_a_second
    if of_a_second == 10**9:
        whole = chance.randrange(-(2**63), 2**63)
    return whole // (step := chance.choice((1, 10, 1000, 10**6, 10**9))) * step


def text(chance: Chance) -> str:
    letters = chance.choice(("abc 'é€\x7f\u2028😀", 'a"', "a\\b", "a\n\0\x1f"))
    return "".join(chance.choices(letters, k=chance.randrange(6)))


def any_float(chance: Chance) -> float:
    if chance.random() < 0.5:
        return chance.choice((0.0, -0.0, 1.0, 0.1, 1e-4, 1e9, -7.25, 1 / 3, 9_999_999_999.5))
    return float(struct.unpack("d", chance.randbytes(8))[0])


CASES: dict[str, tuple[pa.DataType, Callable[[Chance], Any]]] = {
    "int64": (pa.int64(), lambda chance: chance.randrange(-(2**63), 2**63)),
    "uint64": (pa.uint64(), lambda chance: chance.randrange(2**64)),
    "int8": (pa.int8(), lambda chance: chance.randrange(-128, 128)),
    "bool": (pa.bool_(), lambda chance: chance.random() < 0.5),
    "double": (pa.float64(), any_float),
    "plain double": (pa.float64(), lambda chance: chance.uniform(-1e10, 1e10)),
    "cents": (pa.float64(), lambda chance: chance.randrange(10**9) / 100),
    "float": (pa.float32(), lambda chance: chance.uniform(-1000, 1000)),
    "half": (pa.float16(), lambda chance: chance.uniform(1, 100)),
    "string": (pa.string(), text),
    "plain string": (pa.large_string(), lambda chance: "é" * chance.randrange(4)),
    "dictionary": (pa.dictionary(pa.int8(), pa.string()), lambda chance: chance.choice("abé")),
    "quotes": (pa.dictionary(pa.int8(), pa.string()), lambda chance: chance.choice('ab"')),
    "date": (pa.date32(), lambda chance: date.fromordinal(chance.randrange(1, 3_652_060))),
    "far date": (pa.date32(), lambda chance: chance.randrange(-(10**6), 10**7)),
    **{
        f"timestamp {unit} {zone}": (
            pa.timestamp(unit, zone),
            lambda chance, of_a_second=1000**power: ticks(chance, of_a_second),
        )
        for power, unit in enumerate(("s", "ms", "us", "ns"))
        for zone in (None, "Asia/Tokyo")
    },
    "far time": (pa.timestamp("ms"), lambda chance: chance.randrange(-(2**63), 2**63)),
    "even time": (pa.timestamp("ns"), lambda chance: chance.randrange(10**9) * 10**9),
    "decimal": (pa.decimal128(9, 2), lambda chance: Decimal(chance.randrange(10**9)) / 100),
    "list": (pa.list_(pa.string()), lambda chance: [text(chance)]),
    "binary": (pa.binary(), lambda chance: chance.randbytes(2)),
    "struct": (
        pa.struct(
            {'a"é': pa.string(), "b": pa.struct({"c": pa.float64(), "d": pa.list_(pa.int8())})}
        ),
        lambda chance: {
            'a"é': chance.choice((None, text(chance))),
            "b": chance.choice((None, {"c": any_float(chance), "d": None}, {"c": None, "d": [1]})),
        },
    ),
    "empty struct": (pa.struct([]), lambda _: {}),
}


@pytest.mark.parametrize("case", CASES)
def test_a_column_is_the_bytes_that_it_is_value_by_value(case: str) -> None:
    kind, value = CASES[case]
    chance = Chance(case)
    for size in (0, 1, 2, 3, 300):
        drawn = [value(chance) for _ in range(size)]
        for nulls in (0.0, 0.2, 1.0):
            column = pa.array([None if chance.random() < nulls else one for one in drawn], kind)
            assert messages(["n"], [column]) == one_by_one(["n"], [column])
            part = column[1:-1]
            assert messages(["n"], [part]) == one_by_one(["n"], [part])


def test_a_row_has_all_columns_by_names_as_they_are() -> None:
    names = ['a"b', "é", "%s", ""]
    columns = [pa.array([1, None]), pa.array(["x", "y"]), pa.array([[1], None]), pa.nulls(2)]
    assert messages(names, columns) == one_by_one(names, columns)
    assert messages(["a", "b"], [pa.array([1]), ["x"]]) == [b'{"a":1,"b":"x"}']


def test_broken_utf_8_goes_along_as_it_is() -> None:
    for raw in (b"x\xff", b'"\xff', b"\xe2\x82"):
        column = pa.array([raw, b"ok"]).view(pa.string())
        assert messages(["n"], [column]) == one_by_one(["n"], [column])


@pytest.mark.parametrize(
    "column",
    [
        pa.array([1, None]),
        pa.array([1.5, 2.0, None]),
        pa.array(["é", None]),
        pa.array([1_767_225_600_123, None], pa.timestamp("ms", "UTC")),
        pa.array([20_000, None], pa.date32()),
        pa.array([True, None]),
        pa.array([{"a": {"b": 1, "c": "é"}}, {"a": None}, None]),
    ],
    ids=lambda column: str(column.type),
)
def test_usual_columns_are_never_written_value_by_value(
    column: pa.Array, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = one_by_one(["n"], [column])
    monkeypatch.setattr(json_columns, "values", None)
    assert messages(["n"], [column]) == expected
