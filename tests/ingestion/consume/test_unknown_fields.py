"""Fields that no column reads: found in a bounded sample, and counted for the table's page."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from ingestion.ddl.spec import ColumnSpec
from ingestion.models import Table, UnknownFieldRule, UnknownFields
from ingestion.monitoring import unknown_fields
from ingestion.monitoring.unknown_fields import MOST, PATHS, PAUSE, SAMPLE, look
from ingestion.monitoring.unread_paths import read_by, unread
from ingestion.services.tables import request_table
from tests.ingestion.running import consume_until, numbers

COLUMNS = (ColumnSpec("n", "UInt32"), ColumnSpec("s", "String"))


@pytest.fixture(autouse=True)
def _never_looked() -> Iterator[None]:
    unknown_fields._looked_at.clear()
    yield
    unknown_fields._looked_at.clear()


def rows(*messages: Any) -> pa.Table:
    raw = [one if isinstance(one, bytes) else json.dumps(one).encode() for one in messages]
    return pa.table({"raw": pa.array(raw, pa.binary())})


def counted(table: Table) -> tuple[int, dict[str, Any]]:
    found = UnknownFields.objects.get(table=table)
    return found.sampled, found.fields


def test_a_field_is_unread_unless_a_column_reads_it_or_something_around_it() -> None:
    columns = (
        ColumnSpec("a", "UInt8"),
        ColumnSpec("b", "String", "user.name"),
        ColumnSpec("c", "Map(String, String)", "tags"),
        ColumnSpec("d", "Array(String)", "$.items[*].sku"),
        ColumnSpec("e", "String", metadata="header:other"),
        ColumnSpec("other", "String", expression="lower(b)"),
    )
    message = {
        "a": 1,
        "user": {"name": "x", "email": "y"},
        "tags": {"k": 1},
        "items": [{"sku": "1"}, {"sku": "2", "price": 3}],
        "other": [7],
        "user.name": 5,
    }
    assert unread(message, read_by(columns)) == {
        "user.email": "y",
        "$.items[*].price": 3,
        "other": [7],
        "$['user.name']": 5,
    }


def test_a_sample_is_counted_once_a_minute_with_an_example(table: Table) -> None:
    batch = rows({"n": 1, "x": "a" * 500}, {"n": 2, "x": 1, "y\0": None}, b"{", b"[1]", {"s": ""})
    look(table, 1, COLUMNS, batch, now=0.0)
    look(table, 1, COLUMNS, batch, now=PAUSE - 1)
    assert counted(table) == (3, {"x": [2, "1"], "y": [1, "null"]})
    look(table, 1, COLUMNS, rows({"x": "a" * 500}), now=PAUSE)
    sampled, fields = counted(table)
    assert (sampled, fields["x"][0], len(fields["x"][1])) == (4, 3, 100)


def test_a_value_that_is_nested_very_deeply_has_no_example(table: Table) -> None:
    deep = b"[" * 900 + b"]" * 900
    look(table, 1, COLUMNS, rows(b'{"x": %s}' % deep, b'{"x": %s}' % (b"[" * 9000)), now=0.0)
    assert counted(table) == (1, {"x": [1, "…"]})


def test_a_large_batch_costs_no_more_than_a_small_one(table: Table) -> None:
    batch = rows(*({"n": n, f"f{n}": n} for n in range(10_000)), {"big": "x" * 70_000})
    look(table, 1, COLUMNS, batch, now=0.0)
    sampled, fields = counted(table)
    assert (sampled, len(fields)) == (SAMPLE, SAMPLE)
    assert "f9800" in fields  # from all over it
    with CaptureQueriesContext(
        connection,
    ) as asked:
        look(table, 1, COLUMNS, batch, now=1.0)
    assert len(asked) == 0
    for minute in range(1, 5):
        other = rows(*({f"g{minute}.{n}": n, "f0": 1} for n in range(50)))
        look(table, 1, COLUMNS, other, now=minute * PAUSE)
    sampled, fields = counted(table)
    assert len(fields) == PATHS
    assert fields["f0"][0] == 201


def test_counts_follow_what_arrives_and_start_anew_with_other_columns(table: Table) -> None:
    look(table, 1, COLUMNS, rows({"x": 1}), now=0.0)
    UnknownFields.objects.update(sampled=MOST, fields={"x": [MOST, "1"]})
    look(table, 1, COLUMNS, rows({"y": 1}), now=PAUSE)
    assert counted(table) == (MOST // 2, {"x": [MOST // 2, "1"], "y": [0, "1"]})
    look(table, 2, COLUMNS, rows({"y": 1}), now=2 * PAUSE)
    assert counted(table) == (1, {"y": [1, "1"]})
    look(table, 1, COLUMNS, rows({"z": 1}), now=3 * PAUSE)  # a batch of the version before
    assert counted(table) == (1, {"y": [1, "1"]})


def test_a_table_that_ignores_them_has_no_sample(table: Table) -> None:
    look(table, 1, COLUMNS, rows({"x": 1}), now=0.0)
    table.unknown_fields = UnknownFieldRule.IGNORE
    table.save()
    request_table(table)
    look(table, 1, COLUMNS, rows({"x": 1}), now=PAUSE)
    assert not UnknownFields.objects.exists()


@pytest.mark.parametrize("stream", ["http"], indirect=True)
def test_what_a_worker_lands_is_on_the_tables_page(
    stream: Any, table: Table, admin_client: Client
) -> None:
    source = stream.source(table)
    stream.send([b'{"n": 1, "coupon": "<b>X1</b>"}', b'{"n": 2}', b'{"n": 3}'])
    consume_until(source, lambda: numbers(table) == [1, 2, 3])
    page = admin_client.get(
        reverse("admin:ingestion_table_change", args=[table.pk])
    ).content.decode()
    assert "Fields that no column reads" in page
    assert "in 33.3 %" in page
    assert "&lt;b&gt;X1&lt;/b&gt;" in page
    assert "<b>X1" not in page
