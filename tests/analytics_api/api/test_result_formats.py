"""Every type of ClickHouse, and every value that is special, in every format: as it comes, or 406.

A row of the table is an expression, and what a result of it has in each format. ``REFUSED`` is a
406 that names the column. Results are ClickHouse's own bytes.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import math
import re
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from analytics_api.api.format_limits import has_totals, type_names
from analytics_api.api.result_formats import BY_NAME, accepted
from analytics_api.guard import QueryRefused
from analytics_api.models import SavedQueryVersion
from tenants.models import Scope
from tenants.services.keys import create_key
from tenants.warehouse import client

REFUSED = "refused"


class Raw(bytes):
    """Bytes as they are within what says that it is text, which not every reader takes."""


NAN = math.nan
_UUID = "61f0c404-5cb3-11e7-907b-a6006ad3dba0"
_UTC = datetime(2026, 1, 31, 10, tzinfo=UTC)

#: Expression: JSON, quoted JSON, CSV (its fields), TSV, Parquet, Arrow.
TABLE: dict[str, tuple[Any, ...]] = {
    # Integers. JSON has all their digits.
    "toUInt8(255)": (255, 255, "255", "255", 255, 255),
    "toInt32(-7)": (-7, -7, "-7", "-7", -7, -7),
    "toUInt64(18446744073709551615)": (
        *(18446744073709551615, "18446744073709551615"),
        *("18446744073709551615", "18446744073709551615"),
        *(18446744073709551615, 18446744073709551615),
    ),
    "toInt64(-9007199254740993)": (
        *(-9007199254740993, "-9007199254740993", "-9007199254740993", "-9007199254740993"),
        *(-9007199254740993, -9007199254740993),
    ),
    "toInt128(-2)": (-2, "-2", "-2", "-2", b"\xfe" + 15 * b"\xff", b"\xfe" + 15 * b"\xff"),
    "toUInt256(7)": (7, "7", "7", "7", b"\7" + bytes(31), b"\7" + bytes(31)),
    # Other numbers.
    "toFloat32(1.5)": (1.5, 1.5, "1.5", "1.5", 1.5, 1.5),
    "toFloat64(0.1)": (0.1, 0.1, "0.1", "0.1", 0.1, 0.1),
    "nan": (None, "nan", "nan", "nan", NAN, NAN),
    "inf": (None, "inf", "inf", "inf", math.inf, math.inf),
    "-inf": (None, "-inf", "-inf", "-inf", -math.inf, -math.inf),
    "[1.5, nan]": ([1.5, None], [1.5, "nan"], "[1.5,nan]", "[1.5,nan]", [1.5, NAN], [1.5, NAN]),
    "toDecimal64('1.50', 2)": (1.5, "1.5", "1.5", "1.5", Decimal("1.50"), Decimal("1.50")),
    "toDecimal256('1.5', 40)": (1.5, "1.5", "1.5", "1.5", Decimal("1.5"), Decimal("1.5")),
    "CAST(1.5 AS BFloat16)": (1.5, 1.5, "1.5", "1.5", REFUSED, REFUSED),
    "true": (True, True, "true", "true", True, True),
    # Text and bytes.
    "'ü'": ("ü", "ü", "ü", "ü", "ü", "ü"),
    "'\N{REPLACEMENT CHARACTER}'": tuple(6 * "\N{REPLACEMENT CHARACTER}"),
    "unhex('ff41')": (REFUSED, REFUSED, REFUSED, REFUSED, Raw(b"\xffA"), Raw(b"\xffA")),
    "[unhex('c3')]": (REFUSED, REFUSED, REFUSED, REFUSED, Raw(b"\xc3"), Raw(b"\xc3")),
    "map(unhex('ff'), 1)": (REFUSED, REFUSED, REFUSED, REFUSED, Raw(b"\xff"), Raw(b"\xff")),
    "toFixedString('abc', 4)": ("abc\0", "abc\0", "abc\0", "abc\\0", b"abc\0", b"abc\0"),
    "CAST('a' AS Enum8('a' = 1))": ("a", "a", "a", "a", b"a", 1),
    f"toUUID('{_UUID}')": (_UUID, _UUID, _UUID, _UUID, UUID(_UUID), UUID(_UUID)),
    "toIPv4('10.0.0.1')": (
        "10.0.0.1", "10.0.0.1", "10.0.0.1", "10.0.0.1", 167772161, 167772161
    ),
    "toIPv6('::1')": ("::1", "::1", "::1", "::1", bytes(15) + b"\1", bytes(15) + b"\1"),
    "toLowCardinality('x')": ("x", "x", "x", "x", "x", "x"),
    # Times.
    "toDate('2026-01-31')": (*(4 * ("2026-01-31",)), date(2026, 1, 31), date(2026, 1, 31)),
    "toDate32('1900-01-01')": (*(4 * ("1900-01-01",)), date(1900, 1, 1), date(1900, 1, 1)),
    "toDateTime('2026-01-31 10:00:00', 'UTC')": (
        *(4 * ("2026-01-31 10:00:00",)), _UTC, int(_UTC.timestamp())
    ),
    "toDateTime64('2026-01-31 10:00:00.000', 3, 'UTC')": (
        *(4 * ("2026-01-31 10:00:00.000",)), _UTC, _UTC
    ),
    "CAST('10:11:12' AS Time)": (*(4 * ("10:11:12",)), REFUSED, time(10, 11, 12)),
    "CAST('10:11:12.5' AS Time64(1))": (
        *(4 * ("10:11:12.5",)), REFUSED, time(10, 11, 12, 500_000)
    ),
    "toIntervalDay(3)": (3, "3", "3", "3", REFUSED, 3),
    "[toIntervalHour(3)]": ([3], ["3"], "[3]", "[3]", REFUSED, [3]),
    # Nothing.
    "NULL": (None, None, "\\N", "\\N", REFUSED, None),
    "[]": ([], [], "[]", "[]", REFUSED, []),
    "[NULL]": ([None], [None], "[NULL]", "[NULL]", REFUSED, [None]),
    "CAST(NULL AS Nullable(UInt8))": (None, None, "\\N", "\\N", None, None),
    # What is made of others.
    "[1, 2]": ([1, 2], [1, 2], "[1,2]", "[1,2]", [1, 2], [1, 2]),
    "[toUInt64(1)]": ([1], ["1"], "[1]", "[1]", [1], [1]),
    "map('a', toInt64(1))": (
        {"a": 1}, {"a": "1"}, "{'a':1}", "{'a':1}", [("a", 1)], [("a", 1)]
    ),
    "CAST((1, 'x') AS Tuple(Time UInt8, b String))": (
        *({"Time": 1, "b": "x"}, {"Time": 1, "b": "x"}, '1,"x"', "(1,'x')"),
        *({"Time": 1, "b": "x"}, {"Time": 1, "b": "x"}),
    ),
    "CAST([(1, 2)] AS Ring)": (
        *([[1, 2]], [[1, 2]], "[(1,2)]", "[(1,2)]"),
        *([{"1": 1.0, "2": 2.0}], [{"1": 1.0, "2": 2.0}]),
    ),
    "CAST((1, 2) AS Point)": ([1, 2], [1, 2], "1,2", "(1,2)", ..., {"1": 1.0, "2": 2.0}),
    "CAST(CAST((1, 2) AS Point) AS Geometry)": ([1, 2], [1, 2], "1,2", "(1,2)", REFUSED, ...),
    "CAST(1 AS Variant(UInt8, String))": (1, 1, "1", "1", REFUSED, 1),
    "CAST(1 AS Dynamic)": (1, 1, "1", "1", REFUSED, "1"),
    """CAST('{"a":1}' AS JSON)""": (
        {"a": 1}, {"a": "1"}, '{"a":1}', '{"a":1}', '{"a":1}', '{"a":1}'
    ),
    "sumState(toUInt64(200))": (REFUSED, REFUSED, REFUSED, REFUSED, REFUSED, REFUSED),
    "CAST(1 AS SimpleAggregateFunction(max, UInt8))": (1, 1, "1", "1", 1, 1),
    "CAST([1, 2] AS QBit(Float32, 2))": ([1, 2], [1, 2], "[1,2]", "[1,2]", REFUSED, REFUSED),
    "CAST([(1, 'x')] AS Nested(a UInt8, b String))": (
        *([{"a": 1, "b": "x"}], [{"a": 1, "b": "x"}], "[(1,'x')]", "[(1,'x')]"),
        *([{"a": 1, "b": "x"}], [{"a": 1, "b": "x"}]),
    ),
    "CAST('a' AS Enum16('a' = 1000))": ("a", "a", "a", "a", b"a", 1000),
    "tuple()": ([], [], "", "()", REFUSED, {}),
}  # fmt: skip
for _name in ("Int8", "UInt16", "Int16", "UInt32"):
    TABLE[f"CAST(1 AS {_name})"] = (1, 1, "1", "1", 1, 1)
for _name in ("UInt128", "Int256"):
    TABLE[f"CAST(1 AS {_name})"] = (1, "1", "1", "1", ..., ...)
for _name, _value in (
    *((one, 3) for one in ("Minute", "Week", "Month", "Quarter", "Year")),
    ("Second", timedelta(seconds=3)),
    ("Millisecond", timedelta(milliseconds=3)),
    ("Microsecond", timedelta(microseconds=3)),
    ("Nanosecond", ...),
):
    TABLE[f"toInterval{_name}(3)"] = (3, "3", "3", "3", REFUSED, _value)
for _name, _value in (
    ("LineString", "[(1,2)]"),
    ("MultiPoint", "[(1,2)]"),
    ("Polygon", "[[(1,2)]]"),
    ("MultiLineString", "[[(1,2)]]"),
    ("MultiPolygon", "[[[(1,2)]]]"),
):
    _lists = json.loads(_value.replace("(", "[").replace(")", "]"))
    TABLE[f"CAST({_value} AS {_name})"] = (_lists, _lists, _value, _value, ..., ...)
_FORMATS = ("json", "json-quoted", "csv", "tsv", "parquet", "arrow")


@pytest.fixture
def api(shared_api: Any) -> Any:
    return shared_api


def body(answer: Any) -> bytes:
    return b"".join(answer.streaming_content) if answer.streaming else answer.content


def publish_anything(api: Any, sql: str, name: str = "c") -> None:
    """A query that the guard need not let pass: formats are not for it to choose among."""
    query = api.publish(name, "SELECT 1 AS c")
    columns = [
        {"name": row["name"], "type": row["type"]} for row in client.rows(f"DESCRIBE ({sql})", {})
    ]
    SavedQueryVersion.across_tenants.filter(query=query).update(sql=sql, columns=columns)


def values(form: str, content: bytes) -> Any:
    """The one value of a result."""
    if form.startswith("json"):
        return json.loads(content)["data"][0]["c"]
    if form == "csv":
        line = content.decode().partition("\n")[2].removesuffix("\n")
        fields = next(csv.reader([line]), [""])
        return fields[0] if len(fields) == 1 else line
    if form == "tsv":
        return content.decode().partition("\n")[2].removesuffix("\n")
    opened = pq.read_table(io.BytesIO(content)) if form == "parquet" else _stream(content)
    return opened.column(0)[0].as_py()


def _stream(content: bytes) -> pa.Table:
    return pa.ipc.open_stream(content).read_all()


@pytest.mark.parametrize("form", _FORMATS)
def test_each_type_and_value_comes_as_the_table_says_or_is_refused_by_its_column(
    form: str, api: Any
) -> None:
    at = _FORMATS.index(form)
    wrong = {}
    for number, (expression, row) in enumerate(TABLE.items()):
        publish_anything(api, f"SELECT {expression} AS c", f"c{number}")
        answer = api.get(f"/c{number}.{form}")
        found = _outcome(form, answer, row[at])
        if found is not row[at]:
            wrong[expression] = found
    assert wrong == {}


def _outcome(form: str, answer: Any, expected: Any) -> Any:
    """What came, or ``expected`` where that is as good."""
    content = body(answer)
    if answer.status_code == 406:
        problem = json.loads(content)
        assert (problem["code"], problem["column"]) == ("format_unfit", "c")
        assert "'c'" in problem["detail"]
        assert form not in problem["formats"]
        assert set(problem["formats"]) <= set(BY_NAME)
        return REFUSED
    if answer.status_code != 200:
        return answer.status_code, content
    if expected is ... or (isinstance(expected, Raw) and expected in content):
        return expected
    found = values(form, content)
    same = type(found) is type(expected) and found == expected
    return expected if same or repr(found) == repr(expected) else found


def test_the_table_has_every_type_of_the_engine(clickhouse_server: str) -> None:
    families = {
        row["name"]
        for row in client.rows("SELECT name FROM system.data_type_families WHERE alias_to = ''", {})
    }
    columns = ", ".join(f"{expression} AS c{at}" for at, expression in enumerate(TABLE))
    shown = " ".join(row["type"] for row in client.rows(f"DESCRIBE (SELECT {columns})", {}))
    # Families that a type is never shown as.
    families -= {"Enum", "DateTime32", "Decimal32", "Decimal64", "Decimal128", "Decimal256"}
    assert {name for name in families if not re.search(rf"\b{name}\b", shown)} == set()


# --- Totals -----------------------------------------------------------------------------------

_TOTALS = "SELECT n % 2 AS k, count() AS c FROM events GROUP BY k WITH TOTALS ORDER BY k"


def test_totals_come_by_themselves_or_not_at_all(api: Any) -> None:
    api.publish("totals", _TOTALS)
    holding = ["json", "jsoncompact", "json-quoted", "jsoncompact-quoted"]
    for form in BY_NAME:
        answer = api.get(f"/totals.{form}")
        if form not in holding:
            problem = answer.json()
            assert (answer.status_code, problem["code"]) == (406, "format_unfit")
            assert problem["formats"] == holding
            continue
        totals = answer.json()["totals"]
        found = totals.values() if isinstance(totals, dict) else totals
        assert [str(one) for one in found] == ["0", "4"]


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        (_TOTALS, True),
        ("SELECT k FROM (SELECT 1 AS k GROUP BY k with /* all */ totals)", True),
        ("SELECT 1 AS a GROUP BY ALL WITH TOTALS", True),
        ("SELECT a FROM t GROUP BY a WITH ROLLUP WITH TOTALS", True),
        ("SELECT a FROM t GROUP BY `a b` WITH TOTALS HAVING a", True),
        ("WITH totals AS (SELECT 1) SELECT * FROM totals", False),
        ("SELECT 1 UNION ALL WITH totals AS (SELECT 1) SELECT * FROM totals", False),
        ("SELECT * FROM (WITH totals AS (SELECT 1) SELECT * FROM totals)", False),
        ("SELECT ' GROUP BY a WITH TOTALS' AS a -- GROUP BY a WITH TOTALS", False),
        ("SELECT count() FROM t GROUP BY a WITH ROLLUP", False),
    ],
)
def test_totals_are_found_in_the_statement(sql: str, expected: bool) -> None:
    assert has_totals(sql) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Array(Nullable(Nothing))", {"Array", "Nullable", "Nothing"}),
        ("Tuple(Time UInt8, b IntervalDay)", {"Tuple", "UInt8", "Interval"}),
        ("Enum8('Time' = 1, 'Dynamic' = 2)", {"Enum8"}),
    ],
)
def test_the_names_in_a_type(text: str, expected: set[str]) -> None:
    assert type_names(text) == expected


# --- Bytes ------------------------------------------------------------------------------------


@pytest.mark.slow
def test_bytes_that_are_not_text_are_refused_wherever_they_stand_and_however_it_is_packed(
    api: Any,
) -> None:
    rows = "SELECT number AS n, if(number = 149999, unhex('e282'), 'ü') AS bytes, 'a' AS s"
    api.publish("late", f"{rows} FROM numbers(150000)")
    for form in ("json", "jsoncompact", "ndjson", "csv", "tsv"):
        for encoding in ("identity", "gzip", "zstd"):
            answer = api.get(f"/late.{form}", Accept_Encoding=encoding)
            problem = json.loads(body(answer))
            assert (answer.status_code, problem["column"]) == (406, "bytes"), (form, encoding)
            assert problem["formats"] == ["parquet", "arrow"]
            assert "hex()" in problem["detail"]
            assert "Content-Encoding" not in answer


@pytest.mark.parametrize("encoding", ["", "gzip", "zstd"])
def test_text_comes_as_clickhouse_wrote_it(encoding: str, api: Any) -> None:
    api.publish("text", "SELECT number, '\N{REPLACEMENT CHARACTER}ü' AS s FROM numbers(150000)")
    for form in ("json", "ndjson", "csv", "tsv"):
        answer = api.get(f"/text.{form}", Accept_Encoding=encoding)
        content = body(answer)
        assert (answer.status_code, answer.get("Content-Encoding", "")) == (200, encoding)
        if encoding == "gzip":
            content = gzip.decompress(content)
        if encoding == "zstd":
            reader = zstandard.ZstdDecompressor().stream_reader(content, read_across_frames=True)
            content = reader.read()
        assert content.decode().count("\N{REPLACEMENT CHARACTER}ü") == 150_000


# --- Which format -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "accept"),
    [
        ("/big.json-quoted", "*/*"),
        ("/big?format=json-quoted", "application/json"),
        ("/big", "application/json;numbers=quoted"),
        ("/big", "text/html, application/json; numbers=quoted; q=0.9, application/json;q=0.5"),
    ],
)
def test_quoted_numbers_are_asked_for_by_the_format(path: str, accept: str, api: Any) -> None:
    api.publish("big", "SELECT toUInt64(9007199254740993) AS n, nan AS x")
    answer = api.get(path, Accept=accept)
    assert answer["Content-Type"] == "application/json"
    assert answer.json()["data"] == [{"n": "9007199254740993", "x": "nan"}]
    plain = api.get("/big", Accept="*/*, application/json;numbers=quoted;q=0.1")
    assert plain.json()["data"] == [{"n": 9007199254740993, "x": None}]


@pytest.mark.parametrize(
    ("accept", "name"),
    [
        ("", "json"),
        ("*/*", "json"),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "json"),
        ("application/json; charset=UTF-8", "json"),
        ("TEXT/CSV", "csv"),
        ("text/csv;header=present;charset=utf-8", "csv"),
        ("text/csv, application/json", "csv"),
        ("text/csv;q=0.1, application/x-ndjson", "ndjson"),
        ("*/*;q=0.1, application/x-parquet", "parquet"),
        ("application/json;q=0.5, application/json;numbers=quoted", "json-quoted"),
        ("image/png", None),
        ("application/json;q=0", None),
        ("application/json;a*=none''%ff", None),
    ],
)
def test_accept_is_negotiated(accept: str, name: str | None) -> None:
    form = accepted(accept)
    assert (form.name if form else None) == name


def test_an_address_names_one_format(api: Any) -> None:
    api.publish("one", "SELECT 1 AS one")
    for path in ("/one.csv?format=json", "/one?format=csv&format=json"):
        answer = api.get(path)
        assert (answer.status_code, answer.json()["code"]) == (400, "format")
        assert "csv and json" in answer.json()["detail"]
    assert api.get("/one.csv?format=csv&format=csv").content == b'"one"\n1\n'


def test_an_unknown_ending_says_which_there_are(api: Any) -> None:
    api.publish("one", "SELECT 1 AS one")
    answer = api.get("/one.xml")
    assert (answer.status_code, answer.json()["code"]) == (404, "format")
    assert answer.json()["formats"] == list(BY_NAME)
    assert "one.csv" in answer.json()["detail"]
    # Of one that is not there nothing is said.
    assert api.get("/two.xml").json()["code"] == "not_found"
    assert api.get("/one", Accept="text/html").json()["formats"] == list(BY_NAME)


def test_extremes_are_nothing_that_a_query_may_ask_for(api: Any) -> None:
    with pytest.raises(QueryRefused):
        api.publish("extremes", "SELECT n FROM events SETTINGS extremes = 1")


def test_sql_of_ones_own_is_held_to_the_same(api: Any) -> None:
    _, key = create_key(api.tenant, "sql", scopes=[Scope.QUERIES_SQL])

    def run(sql: str, form: str) -> Any:
        return api.client.post(
            f"/api/v1/sql?format={form}",
            {"sql": sql},
            content_type="application/json",
            headers={"Authorization": f"Bearer {key}"},
        )

    assert run(_TOTALS, "csv").status_code == 406
    assert run("SELECT toIntervalDay(1) AS i", "parquet").json()["column"] == "i"
    assert run("SELECT unhex('ff') AS b", "ndjson").json()["column"] == "b"
    assert b'"9"' in run("SELECT toUInt64(9) AS n", "ndjson-quoted").content
