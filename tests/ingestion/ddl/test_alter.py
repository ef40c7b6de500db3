"""A table that has rows becomes what is described, or it is said why it can't."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from clickhouse_connect.driver.exceptions import ClickHouseError

from ingestion.ddl import CannotAlter, ColumnSpec, Existing, TableSpec, alter, read_existing
from ingestion.ddl.alter import widens
from ingestion.ddl.types import parse
from tenants.warehouse.errors import WarehouseError


def _existing(inbox: Any, spec: TableSpec) -> Existing:
    columns, table = (inbox.rows(sql) for sql in read_existing(spec))
    keys = frozenset(name for name, _, is_in_key in columns if is_in_key)
    return Existing({name: kind for name, kind, _ in columns}, *table[0], keys)


@pytest.fixture
def spec(inbox: Any) -> TableSpec:
    made = inbox.make(
        TableSpec(
            inbox.database,
            "t",
            (ColumnSpec("n", "UInt8"), ColumnSpec("e", "Enum8('a' = 1)")),
            ("n",),
            partition_key="n % 4",
        )
    )
    inbox.insert("t", [b'{"n": 1, "e": "a"}'])
    return made


def test_nothing_new_is_nothing_lost(inbox: Any, spec: TableSpec) -> None:
    for statement in alter(spec, _existing(inbox, spec)):
        inbox.engine.command(statement)
    inbox.insert("t", [b'{"n": 2, "e": "a"}'])
    assert inbox.count("t") == 2


def test_objects_are_added_and_stay_what_they_are(inbox: Any, spec: TableSpec) -> None:
    kinds = {
        "o": ("Tuple(a UInt8, `b c` String)", '{"a": 7, "b c": "?"}'),
        "l": ("Nested(a UInt8, d Nullable(Date))", '[{"a": 7}]'),
    }
    columns = (
        *spec.columns,
        *(ColumnSpec(name, *one[:1], "", False, one[1]) for name, one in kinds.items()),
    )
    new = replace(spec, columns=columns)
    for _ in range(2):
        for statement in alter(new, _existing(inbox, spec)):
            inbox.engine.command(statement)
    inbox.insert("t", [b'{"n": 2, "e": "a", "o": {"a": 1, "b c": "x"}, "l": [{"a": 1}]}'])
    found = inbox.rows(f"SELECT toString(o), toString(l) FROM {inbox.database}.t ORDER BY n")
    assert found == [("(7,'?')", "[(7,NULL)]"), ("(1,'x')", "[(1,NULL)]")]
    other = replace(new, columns=(*columns[:3], ColumnSpec("l", "Nested(a UInt16)")))
    with pytest.raises(CannotAlter, match="existing values might not fit"):
        alter(other, _existing(inbox, new))


def test_columns_are_added_widened_and_left_out(inbox: Any, spec: TableSpec) -> None:
    columns = (
        ColumnSpec("n", "UInt8"),
        ColumnSpec("e", "Enum8('a' = 1, 'b' = 2)"),
        ColumnSpec("s", "String", required=False, default='"none"'),
        ColumnSpec("w", "Nullable(UInt16)", required=False),
    )
    new = replace(spec, columns=columns, ttl="_timestamp + INTERVAL 100 YEAR")
    for statement in alter(new, _existing(inbox, spec)):
        inbox.engine.command(statement)
    inbox.insert("t", [b'{"n": 2, "e": "b", "s": "x", "w": 300}'])
    found = inbox.rows(f"SELECT n, e, s, w FROM {inbox.database}.t ORDER BY n")
    assert found == [(1, "a", "none", None), (2, "b", "x", 300)]
    fewer = replace(new, columns=columns[:2], ttl="")
    for statement in alter(fewer, _existing(inbox, new)):
        inbox.engine.command(statement)
    inbox.insert("t", [b'{"n": 3, "e": "b"}'])
    assert inbox.rows(f"SELECT s FROM {inbox.database}.t ORDER BY n") == [
        ("none",),
        ("x",),
        ("none",),
    ]


def test_interrupted_anywhere_the_version_before_lands_all_and_a_second_try_completes(
    inbox: Any, spec: TableSpec
) -> None:
    columns = (*spec.columns, ColumnSpec("w", "UInt16", required=False, default="7"))
    new = replace(spec, columns=columns, version=2)
    statements = alter(new, _existing(inbox, spec))
    for stop, statement in enumerate(statements):
        inbox.engine.command(statement)
        inbox.insert("t", [b'{"n": 5, "e": "a"}'])
        assert inbox.count("t") == stop + 2, statement
        with suppress(WarehouseError):  # refused until all behind its inbox stands
            inbox.insert("t", [b'{"n": 300, "e": "a"}'], version=2)
    misfits = f"SELECT count() FROM {inbox.database}.t__quarantine"
    assert inbox.rows(misfits) == [(1,)], "only the last one was not refused"
    for statement in alter(new, _existing(inbox, new)):
        inbox.engine.command(statement)
    inbox.insert("t", [b'{"n": 6, "e": "a", "w": 8}'], version=2)
    found = inbox.rows(f"SELECT w, count() FROM {inbox.database}.t GROUP BY w ORDER BY w")
    assert found == [(7, len(statements) + 1), (8, 1)]


def test_a_statement_that_clickhouse_refuses_changes_no_column(inbox: Any, spec: TableSpec) -> None:
    new = replace(
        spec,
        columns=(*spec.columns, ColumnSpec("a", "UInt8", required=False, default="1")),
        ttl="a + 5",
        version=2,
    )
    before = _existing(inbox, spec)
    statements = alter(new, before)
    (refused,) = [one for one in statements if "ALTER" in one and "a + 5" in one]
    for statement in statements[: statements.index(refused)]:
        inbox.engine.command(statement)
    with pytest.raises(ClickHouseError):
        inbox.engine.command(refused)
    assert _existing(inbox, spec) == before
    inbox.insert("t", [b'{"n": 5, "e": "a"}'])
    assert inbox.count("t") == 2


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"sorting_key": ("e",)}, "sorting key"),
        ({"partition_key": ""}, "partition key"),
        (
            {"columns": (ColumnSpec("n", "UInt16"), ColumnSpec("e", "Enum8('a' = 1)"))},
            "part of the table's keys",
        ),
        ({"columns": (ColumnSpec("n", "Int8"), ColumnSpec("e", "String"))}, "Column n is UInt8"),
    ],
)
def test_what_would_lose_rows_is_refused_with_what_to_do(
    change: dict[str, Any], says: str, inbox: Any, spec: TableSpec
) -> None:
    with pytest.raises(CannotAlter, match=says):
        alter(replace(spec, **change), _existing(inbox, spec))


@pytest.mark.parametrize(
    ("before", "after", "is_wider"),
    [
        ("UInt8", "UInt64", True),
        ("UInt8", "Int16", True),
        ("UInt8", "Int8", False),
        ("Int32", "UInt64", False),
        ("String", "Nullable(String)", True),
        ("Nullable(String)", "String", False),
        ("Decimal(9, 2)", "Decimal(18, 2)", True),
        ("Decimal(9, 2)", "Decimal(10, 4)", False),
        ("DateTime64(3)", "DateTime64(6)", True),
        ("Enum8('a' = 1)", "Enum8('b' = 1)", False),
        ("Float32", "Float64", True),
    ],
)
def test_widening(before: str, after: str, is_wider: bool) -> None:
    assert widens(parse(before), parse(after)) is is_wider
