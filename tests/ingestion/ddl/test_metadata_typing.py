"""Columns of metadata: typed by the rules of all others, and kept in quarantine."""

from __future__ import annotations

import base64
import json
import re
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ingestion.connectors.metadata_json import written
from ingestion.ddl import ColumnSpec, SpecError, TableSpec, check, create
from ingestion.landing import direct_insert

COLUMNS = (
    ColumnSpec("n", "UInt8"),
    ColumnSpec("trace", "String", metadata="header:trace-id"),
    ColumnSpec("attempt", "UInt16", required=False, default="1", metadata="header:attempt"),
    ColumnSpec("sent", "Nullable(DateTime64(3))", required=False, metadata="timestamp"),
    ColumnSpec("tags", "Map(String, String)", required=False, default="{}", metadata="header:tags"),
)
SENT = "2026-12-01T10:00:00.123Z"


def of(**values: Any) -> bytes:
    names = {"trace": "header:trace-id", "attempt": "header:attempt", "tags": "header:tags"}
    return written({names.get(name, name): value for name, value in values.items()})


def test_a_column_reads_what_came_with_the_message(inbox: Any) -> None:
    inbox.make(TableSpec(inbox.database, "t", COLUMNS))
    metadata = [
        of(trace=b"a/1", attempt=b"7", timestamp=SENT),
        of(trace=b"", attempt=None),
        of(trace=b"c", attempt=9, tags={"x": "y"}),
    ]
    inbox.insert("t", [b'{"n": 1, "trace": "own"}', b'{"n": 2}', b'{"n": 3}'], metadata=metadata)
    found = inbox.rows(
        f"SELECT n, trace, attempt, toString(sent), tags FROM {inbox.database}.t ORDER BY n"
    )
    assert found == [
        (1, "a/1", 7, "2026-12-01 10:00:00.123", {}),
        (2, "", 1, None, {}),
        (3, "c", 9, None, {"x": "y"}),
    ]
    assert inbox.count("t__quarantine") == 0


def test_what_does_not_fit_is_in_quarantine_with_its_metadata(inbox: Any) -> None:
    inbox.make(TableSpec(inbox.database, "t", COLUMNS))
    metadata = [
        of(trace=b"a", attempt=b"70000"),
        of(attempt=b"1"),
        of(trace=b"\xff\x00"),
        of(trace=7),
        of(trace=b"b"),
        of(trace=b"c"),
    ]
    messages = [b'{"n": 1}'] * 4 + [b'{"n": 300}', b"[1]"]
    inbox.insert("t", messages, metadata=metadata)
    found = inbox.rows(
        "SELECT reason, `column`, expected, value, _metadata "
        f"FROM {inbox.database}.t__quarantine ORDER BY _offset"
    )
    assert [row[:4] for row in found] == [
        ("out_of_range", "attempt", "UInt16", "70000"),
        ("missing", "trace", "String", ""),
        ("wrong_type", "trace", "String", '{"base64":"/wA="}'),
        ("wrong_type", "trace", "String", "7"),
        ("out_of_range", "n", "UInt8", "300"),
        ("not_an_object", "", "a JSON object", "[1]"),
    ]
    assert [row[4].encode() for row in found] == metadata
    assert inbox.count("t") == 0


def test_a_table_may_read_nothing_but_metadata(inbox: Any) -> None:
    columns = (ColumnSpec("k", "String", metadata="key"),)
    inbox.make(TableSpec(inbox.database, "t", columns))
    inbox.insert("t", [b"{}", b"{", b"7"], metadata=[of(key=b"a"), of(key=b"b"), of(key=b"c")])
    assert inbox.rows(f"SELECT k FROM {inbox.database}.t") == [("a",)]
    found = inbox.rows(f"SELECT reason FROM {inbox.database}.t__quarantine ORDER BY _offset")
    assert found == [("invalid_json",), ("not_an_object",)]


def test_a_table_without_such_columns_has_no_place_for_metadata() -> None:
    statements = create(TableSpec("d", "t", (ColumnSpec("n", "UInt8"),)))
    assert not any("_metadata" in one for one in statements)
    assert "_metadata" not in direct_insert.ddl.messages_header((ColumnSpec("n", "UInt8"),)).names


KINDS = ("String", "UInt16", "Int64", "Float64", "Decimal(9, 2)", "Array(UInt8)", "Nullable(UUID)")
VALUES = st.one_of(
    st.binary(max_size=8),
    st.text(max_size=8).map(str.encode),
    st.integers(-(2**70), 2**70).map(lambda n: str(n).encode()),
    st.integers(-(2**63), 2**64 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.booleans(),
    st.lists(st.integers(0, 300), max_size=3),
    st.none(),
)


@pytest.mark.slow
def test_any_header_lands_as_a_member_of_the_message_would(inbox: Any) -> None:
    """The rules of typing have an oracle of their own; here a column of metadata has the same."""
    sent: list[Any] = []

    @settings(
        max_examples=600, database=None, deadline=None, suppress_health_check=list(HealthCheck)
    )
    @given(VALUES)
    def collect(value: Any) -> None:
        sent.append(value)

    collect()
    texts = [json.loads(of(v=value))["v"] for value in sent]
    for index, kind in enumerate(KINDS):
        optional = {"required": kind[0] != "N"}
        own = ColumnSpec("v", kind, quoted_numbers=True, **optional)
        of_header = ColumnSpec("v", kind, metadata="header:v", **optional)
        inbox.make(TableSpec(inbox.database, f"own{index}", (own,)))
        inbox.make(TableSpec(inbox.database, f"header{index}", (of_header,)))
        inbox.insert(f"own{index}", [b'{"v": %s}' % written({"v": v})[5:-1] for v in sent])
        metadata = [written({"header:v": value}) for value in sent]
        inbox.insert(f"header{index}", [b"{}"] * len(sent), metadata=metadata)
        for table, columns in (("", "v"), ("__quarantine", "reason, `column`, expected, value")):
            own_rows, header_rows = (
                inbox.rows(
                    f"SELECT _offset, {columns} FROM {inbox.database}.{name}{index}{table} "
                    "ORDER BY _offset"
                )
                for name in ("own", "header")
            )
            assert [_exact(row) for row in own_rows] == [_exact(row) for row in header_rows]
    strings = dict(inbox.rows(f"SELECT _offset, v FROM {inbox.database}.header0"))
    assert strings == {n: text for n, text in enumerate(texts) if isinstance(text, str)}


def _exact(row: tuple[Any, ...]) -> tuple[Any, ...]:
    """A row whose last text is a number has it as one: 1e38 and 1e+38 are the same."""
    *others, last = row
    is_number = isinstance(last, str) and re.fullmatch(r"-?[0-9.]+(e[+-]?[0-9]+)?", last)
    return (*others, Decimal(last) if is_number else last)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("keys", "Write one of key, topic"),
        ("header:", "Write one of key, topic"),
        ("header: x", "without blanks"),
        ("header:Authorization", "holds a secret"),
        ("header:cookie", "holds a secret"),
        ("property:colour", "Properties: message_id"),
    ],
)
def test_what_is_no_metadata_is_refused_with_what_would_be(name: str, said: str) -> None:
    with pytest.raises(SpecError) as caught:
        check(TableSpec("d", "t", (ColumnSpec("c", "String", metadata=name),)))
    (problem,) = caught.value.problems
    assert (problem.column, problem.field) == ("c", "metadata")
    assert said in problem.message


def test_metadata_has_no_path() -> None:
    with pytest.raises(SpecError) as caught:
        check(TableSpec("d", "t", (ColumnSpec("c", "String", "a.b", metadata="key"),)))
    assert [one.field for one in caught.value.problems] == ["path"]


def test_bytes_that_are_not_utf_8_stay_whole() -> None:
    found = json.loads(written({"key": b"\xff\xfe", "h": "\ud800"}))
    assert base64.b64decode(found["key"]["base64"]) == b"\xff\xfe"
    assert base64.b64decode(found["h"]["base64"]) == b"\xed\xa0\x80"


@pytest.mark.parametrize("name", ["a'b", 'a"b', "a\\b", "a`b", "'), (SELECT 1", "имя", "{x}", "%s"])
def test_the_name_of_a_header_is_only_ever_a_name(name: str, inbox: Any) -> None:
    columns = (ColumnSpec("h", "String", metadata=f"header:{name}"),)
    inbox.make(TableSpec(inbox.database, "t", columns))
    inbox.insert("t", [b"{}", b"{}"], metadata=[written({f"header:{name}": b"x"}), b"{}"])
    assert inbox.rows(f"SELECT h FROM {inbox.database}.t") == [("x",)]
    found = inbox.rows(f"SELECT reason, `column` FROM {inbox.database}.t__quarantine")
    assert found == [("missing", "h")]
