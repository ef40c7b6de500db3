"""What is wrong with a description is said before the engine is asked, at its place."""

from __future__ import annotations

from typing import Any

import pytest
from jsonschema import Draft202012Validator

from ingestion.ddl import ColumnSpec, SpecError, TableSpec, check
from ingestion.ddl.paths import UNREADABLE as UNREADABLE_PATTERN
from ingestion.ddl.paths import unreadable
from ingestion.ddl.types import UnknownType, parse
from millrace.configuration.document import schema

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
        ({"columns": (ColumnSpec("m", "UInt8", path="$.a[*]"),)}, "m", "path"),
        ({"columns": (ColumnSpec("m", "Array(UInt8)", path="$.a[*].b[*]"),)}, "m", "path"),
        ({"columns": (ColumnSpec("m", "Array(UInt8)", path="$[*]"),)}, "m", "path"),
        ({"columns": (N, ColumnSpec("m", "UInt8", path="$.n[0]"))}, "m", "path"),
        (
            {"columns": (ColumnSpec("l", "UInt8", "$.a[0]"), ColumnSpec("m", "UInt8", "a.m"))},
            "m",
            "path",
        ),
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


#: Type and format, and what is said of it; nothing if the column may have it.
FORMATS = [
    ("Date", "%Y/%m/%d", ""),
    ("LowCardinality(Nullable(String))", "base64", ""),
    ("Map(String, Array(Nullable(Date32)))", "%b %d %Y", ""),
    ("DateTime64(3)", "%Y-%m-%dT%H:%M:%S.%f%z", ""),
    ("DateTime", "%d%% %B %y %I %p [Europe/Zurich]", ""),
    ("DateTime", "[%d/%b/%Y:%T %z]", ""),
    ("Array(DateTime)", "ms", ""),
    ("Map(String, Int8)", "json", ""),
    ("Date", "ms", "ms is the unit of a number, and a Date is read from a text: use DateTime64."),
    ("Date", "%Y/%m/%d %H:%M", "has a time, which a Date would lose"),
    ("Date", "%Y/%m/%d [UTC]", "has a time, which a Date would lose"),
    ("Date", "yyyy/MM/dd", "is no format of a Date. Write one such as %Y/%m/%d."),
    ("DateTime", "min", "or the unit of a number: s, ms, us, ns."),
    ("Date", "%Y/%m", "lacks the day: write %d."),
    ("Date", "%m/%d", "lacks the year: write %Y"),
    ("Date", "%Y/%d", "lacks the month: write %m"),
    ("DateTime", "%Y%m%d %M", "lacks the hour: write %H"),
    ("DateTime", "%Y%m%d %H:%S", "lacks the minute: write %M."),
    ("DateTime64(3)", "%Y%m%d %H:%M.%f", "lacks the second"),
    ("DateTime", "%Y%m%d %I:%M", "lacks AM or PM"),
    ("DateTime", "%F %H:%M %p", "Write %I for an hour up to 12, or remove %p."),
    ("Date", "%F %m", "has %m and %m, which say the same"),
    ("Date", "%Y %b %m %d", "has %b and %m, which say the same"),
    ("Date", "%Y/%j", "%j is not known. A format may have %Y"),
    ("Date", "%Y/%-m/%d", "%- is not known"),
    ("Date", "%Y/%m/%d%", "ends with a %. Write %% for the sign itself."),
    ("Date", "%Y/%m/%d\0", "has a character that can't be printed"),
    ("DateTime", "%F %T [Mars/Base]", "'Mars/Base' is not a time zone"),
    ("DateTime", "%F %T%z [UTC]", "%z says the offset of each time. Remove [UTC]."),
    ("Bool", "yes", "'yes' is not two texts, such as yes/no or 1/0."),
    ("Bool", "yes/yes", "is not two texts"),
    ("Bool", "/no", "is not two texts"),
    ("String", "hex", "A String has no format but base64."),
    ("String", "%Y", "A String has no format but base64."),
    ("UInt8", "text", "A column of UInt8 has no format. Set quoted numbers"),
    ("Array(UUID)", "base64", "A column of UUID has no format. Leave it empty."),
    ("String", "json", "json is for Array, Map and Tuple"),
]


@pytest.mark.parametrize(("kind", "form", "says"), FORMATS)
def test_a_format_goes_with_its_type_or_is_refused(kind: str, form: str, says: str) -> None:
    spec = TableSpec("d", "t", (ColumnSpec("c", kind, format=form),))
    if not says:
        check(spec)
        return
    with pytest.raises(SpecError) as raised:
        check(spec)
    (problem,) = raised.value.problems
    assert (problem.column, problem.field) == ("c", "format")
    assert says in problem.message


def test_json_in_a_text_is_one_value_and_nothing_is_below_it() -> None:
    each = ColumnSpec("c", "Array(Array(UInt8))", "$.a[*].b", format="json")
    text = ColumnSpec("c", "Array(UInt8)", "a", format="json")
    below = ColumnSpec("d", "UInt8", "a.b")
    for columns, wrong in (((each,), ("c", "format")), ((text, below), ("d", "path"))):
        with pytest.raises(SpecError) as raised:
            check(TableSpec("d", "t", columns))
        assert [(one.column, one.field) for one in raised.value.problems] == [wrong]


UNREADABLE = [
    *(
        "items[*].sku",
        "items[].sku",
        "items[0].sku",
        "items[-1]",
        "a.items[1:3]",
        "items[?(@.a>1)]",
    ),
    *(
        "$",
        "$.a[-1]",
        "$.a[01]",
        "$..a",
        "$.a.*",
        "$.user-id",
        "$['a",
        "$[a]",
        "$.a[1:2]",
        "$['a','b']",
    ),
    *("user['name']", 'user["name"]', "items.*.sku", "*"),
    *("/user/name", "user->name", "user->>'name'"),
]
READABLE = [
    *("user.name", "$set.plan", "a.$date", "@type", "user-id", "tags[a]", "content/type", "a:b"),
    *("items.0.sku", "#", "2*3", "user name", "a[", "ключ", "x", "a>b"),
    *("$.items[0].sku", "$.a[0][1]['b'][ 2 ]"),
    *("$.user.name", "$['user.name']", '$["user"].name', "$['имя']", "$.имя", "$['*']['a->b']"),
]


@pytest.mark.parametrize("path", UNREADABLE)
def test_a_path_of_another_language_is_refused_with_what_is_right(path: str) -> None:
    column = ColumnSpec("c", "Array(String)", path=path, required=False, default="[]")
    with pytest.raises(SpecError, match=r"such as user.country, or starts with \$") as raised:
        check(TableSpec("d", "t", (column,)))
    (problem,) = raised.value.problems
    assert (problem.column, problem.field) == ("c", "path")
    check(TableSpec("d", "t", (column,)), stands=True)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("part", [":  ", ": -", " ", "[ ", "[?", "['", "1:"])
def test_no_path_takes_long_to_read(part: str) -> None:
    """Blanks that could be read in several ways took forever, at 60 characters."""
    for start in ("[", "$[", "$.a["):
        unreadable(f"{start}{part * (490 // len(part))}x")


@pytest.mark.parametrize("path", READABLE)
def test_a_path_of_odd_keys_is_taken(path: str) -> None:
    check(TableSpec("d", "t", (ColumnSpec("c", "UInt8", path=path),)))


def test_the_schema_of_files_refuses_the_same_paths() -> None:
    rule = schema()["$defs"]["column"]["properties"]["path"]
    assert rule["not"]["pattern"] == UNREADABLE_PATTERN
    validator = Draft202012Validator(rule)
    assert not [path for path in UNREADABLE if validator.is_valid(path)]
    assert not [path for path in READABLE if not validator.is_valid(path)]


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
        *("Enum8('a' = 200)", "String; DROP TABLE t", "JSON", "Dynamic"),
        *("Tuple", "Tuple()", "Tuple(UInt8)", "Tuple(UInt8, String)", "Tuple(a UInt8", "Nested()"),
        *("Tuple(a UInt8, a String)", "Tuple(`` UInt8)", "Tuple(`null` UInt8)", "Tuple('a' UInt8)"),
        *("Nullable(Tuple(a UInt8))", "Tuple(a UInt8 b String)", "Tuple(a UInt9)", "Tuple(,)"),
        *(r"Tuple(`a\nb` UInt8)", "LowCardinality(Tuple(a String))", "Tuple(a UInt8,)"),
    ],
)
def test_other_texts_are_no_types(text: str) -> None:
    with pytest.raises(UnknownType):
        parse(text)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("Tuple(\n    a UInt8,\n    `b c` String)", "Tuple(a UInt8, `b c` String)"),
        ("Tuple(`it``s` UInt8, `a` Date)", r"Tuple(`it\`s` UInt8, a Date)"),
        ("Nested(a UInt8)", "Array(Tuple(a UInt8))"),
        ("Tuple(n Nested(a Enum8('x')))", "Tuple(n Array(Tuple(a Enum8('x' = 1))))"),
    ],
)
def test_tuples_are_read_as_clickhouse_writes_them(written: str, meant: str) -> None:
    assert str(parse(written)) == meant
    assert parse(meant) == parse(written)


@pytest.mark.parametrize(
    ("default", "is_good"),
    [
        ('{"a": 1, "b": ["x"]}', True),
        ('{"a": 1, "b": [], "c": null}', True),
        ('{"a": 300, "b": []}', False),
        ('{"b": []}', False),
        ('{"a": 1, "b": [], "d": 1}', False),
        ("[1]", False),
        ("null", False),
    ],
)
def test_a_default_of_a_tuple_has_all_its_names(default: str, is_good: bool) -> None:
    kind = "Tuple(a UInt8, b Array(String), c Nullable(Date))"
    spec = TableSpec("d", "t", (ColumnSpec("c", kind, required=False, default=default),))
    if is_good:
        check(spec)
    else:
        with pytest.raises(SpecError, match="is not a value of the type Tuple"):
            check(spec)
