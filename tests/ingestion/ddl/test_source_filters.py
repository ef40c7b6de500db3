"""Filters judge every message: kept, filtered or in quarantine, and never two of these."""

from __future__ import annotations

import itertools
import json
import uuid
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pytest

from ingestion.ddl import ColumnSpec, SourceFilter, TableSpec, create, source_filters
from ingestion.ddl.expression import conjuncts
from ingestion.landing import direct_insert

COLUMNS = (
    ColumnSpec("kind", "LowCardinality(String)"),
    ColumnSpec("n", "Nullable(Int8)", required=False),
    ColumnSpec("at", "Date", format="%Y/%m/%d"),
    ColumnSpec("pos", "Tuple(x Int32)", required=False, default='{"x": 0}'),
    ColumnSpec("tags", "Array(String)", required=False, default="[]"),
)
ABSENT = object()
KINDS = ["order", "view", 7, None, ABSENT]
NUMBERS = [1, 5, 5.0, 300, "5", None, ABSENT]
DATES = ["2024/01/31", "31.1.2024", ABSENT]
REST = [{}, {"pos": {"x": 1}}, {"pos": 5}, {"tags": ["a"]}, {"tags": "a"}]


def kind_of(message: dict[str, Any]) -> tuple[bool, str | None]:
    value = message.get("kind")
    return isinstance(value, str), value if isinstance(value, str) else None


def number_of(message: dict[str, Any]) -> tuple[bool, int | None]:
    value = message.get("n")
    fits = value is None or (not isinstance(value, str) and value == int(value) and value < 128)
    return fits, int(value) if fits and value is not None else None


def fits(message: dict[str, Any]) -> bool:
    return (
        kind_of(message)[0]
        and number_of(message)[0]
        and message.get("at") == "2024/01/31"
        and isinstance(message.get("pos", {}), dict)
        and isinstance(message.get("tags", []), list)
    )


def order_only(message: dict[str, Any]) -> bool:
    fits, kind = kind_of(message)
    return fits and kind != "order"


def order_of_five(message: dict[str, Any]) -> bool:
    fits, number = number_of(message)
    return order_only(message) or (fits and number is not None and number != 5)


def order_or_five(message: dict[str, Any]) -> bool:
    (is_kind, kind), (is_number, number) = kind_of(message), number_of(message)
    both = is_kind and is_number
    return both and kind != "order" and number is not None and number != 5


def with_number(message: dict[str, Any]) -> bool:
    fits, number = number_of(message)
    return fits and number is None


#: By filter, whether it leaves a message out. Of what it can't read it never says no.
FILTERS = {
    "kind = 'order'": order_only,
    "kind = 'order' AND n = 5": order_of_five,
    "kind = 'order' OR n = 5": order_or_five,
    "NOT (kind != 'order')": order_only,
    "n IS NOT NULL": with_number,
    "(kind = 'order' AND length(kind) > 0)": order_only,
}


def every_message() -> list[dict[str, Any]]:
    return [
        {name: value for name, value in zip(("kind", "n", "at"), values, strict=True)
         if value is not ABSENT} | rest
        for *values, rest in itertools.product(KINDS, NUMBERS, DATES, REST)
    ]  # fmt: skip


@pytest.mark.parametrize("expression", FILTERS)
@pytest.mark.usefixtures("clickhouse_server")
def test_each_message_is_kept_filtered_or_in_quarantine(expression: str) -> None:
    sent = every_message()
    rows = typed([json.dumps(message).encode() for message in sent], expression)
    left_out = {at for at, message in enumerate(sent) if FILTERS[expression](message)}
    good = {at for at, message in enumerate(sent) if fits(message)} - left_out
    assert offsets(rows.filtered) == left_out
    assert offsets(rows.good) == good
    assert offsets(rows.misfits) == set(range(len(sent))) - good - left_out
    kept, misfits = len(rows.good), len(rows.misfits)
    assert kept + misfits + len(rows.filtered) == len(sent)


@pytest.mark.usefixtures("clickhouse_server")
def test_what_is_no_object_is_never_filtered() -> None:
    broken = [b'{"kind": "view"', b'[{"kind": "view"}]', b'"view"', b"", b'{"kind": "view\xff"}']
    rows = typed(broken, "kind = 'order'")
    assert offsets(rows.misfits) == set(range(len(broken)))
    assert not rows.filtered


@pytest.mark.usefixtures("clickhouse_server")
def test_a_source_without_a_filter_keeps_all() -> None:
    rows = typed([b'{"kind": "view", "at": "2024/01/31"}'], "kind = 'order'", source=2)
    assert offsets(rows.good) == {0}


def typed(messages: list[bytes], expression: str, source: int = 1) -> direct_insert.Rows:
    count, batch = len(messages), uuid.uuid4()
    table = pa.table(
        {
            "_source": pa.array([source] * count, pa.uint64()),
            "_partition": pa.array([0] * count, pa.uint32()),
            "_offset": pa.array(range(count), pa.int64()),
            "_timestamp": pa.array([0] * count, pa.timestamp("ms", "UTC")),
            "_message_id": pa.array([""] * count, pa.string()),
            "_batch": pa.array([batch.bytes] * count, pa.binary(16)),
            "_key": pa.array([b""] * count, pa.binary()),
            "raw": pa.array(messages, pa.binary()),
        }
    )
    by_batch = direct_insert.type_all(table, COLUMNS, (), (SourceFilter(1, expression),))
    return by_batch[str(batch)]


def offsets(rows: list[bytes]) -> set[int]:
    return {int.from_bytes(row[12:20], "little", signed=True) for row in rows}


SPLIT = {
    "a = 1 AND b = 2": [{"a"}, {"b"}],
    "a = 1 AND b = 2 OR a = 3": [{"a", "b"}],
    "(a = 1 AND b = 2) AND NOT a = 5": [{"a", "b"}, {"a"}],
    "a = 1 AND (b = 2 OR a = 3)": [{"a"}, {"a", "b"}],
    "t = 'x AND y' AND b = 1": [{"t"}, {"b"}],
}


@pytest.mark.parametrize("expression", SPLIT)
def test_conditions_that_and_joins_are_judged_one_by_one(expression: str) -> None:
    types = {"a": "Int8", "b": "Int8", "t": "String"}
    found = conjuncts(expression, types, lambda name: name)
    assert [set(read) for _, read in found] == SPLIT[expression]


def test_only_a_table_with_a_filter_has_what_belongs_to_it() -> None:
    """One that has had a filter keeps the origins, so that nothing of them lands again."""
    spec = TableSpec("d", "t", COLUMNS)
    filtered = replace(spec, filters=(SourceFilter(1, "n = 5"),))
    table, view = "TABLE IF NOT EXISTS `d`.`t__filtered`", "VIEW IF NOT EXISTS `d`.`t__filter` TO"
    made = {
        name: [any(text in statement for statement in create(described)) for text in (table, view)]
        for name, described in {
            "without": spec,
            "with": filtered,
            "before": replace(spec, has_filtered=True),
        }.items()
    }
    assert made == {"without": [False, False], "with": [True, True], "before": [True, False]}


def test_a_computed_column_is_none_that_a_filter_reads() -> None:
    columns = (*COLUMNS, ColumnSpec("lower", "String", expression="lower(kind)"))
    ((_, message),) = source_filters.problems(columns, [SourceFilter(1, "lower = 'order'")])
    assert "There is no column 'lower'" in message
    assert "It can't read computed columns: lower." in message
