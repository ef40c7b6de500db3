"""Files that can't be meant are refused before their first row, and no file ends in a traceback."""

from __future__ import annotations

import gzip
import json
import os
import random
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from ingestion.backfill.errors import BackfillError, FileUnreadable
from ingestion.backfill.file import describe, sha256
from ingestion.backfill.readers import READERS
from ingestion.ddl.spec import ColumnSpec

COLUMNS = [
    ColumnSpec(name="n", type="UInt32"),
    ColumnSpec(name="who", type="String", path="user.name"),
    ColumnSpec(name="note", type="Nullable(String)", required=False),
]
OPTIONAL = [ColumnSpec(name="n", type="Nullable(UInt32)", required=False)]
ROWS = [{"n": n, "user": {"name": f"user {n}"}, "note": "é" * (n % 7)} for n in range(500)]
NDJSON = b"".join(json.dumps(row).encode() + b"\n" for row in ROWS)
CSV = b"n,user.name,note\n" + b"".join(b"%d,user %d,x\n" % (n, n) for n in range(500))


def parquet(table: pa.Table, **options: Any) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, **options)
    return bytes(sink.getvalue())


PARQUET = parquet(pa.Table.from_pylist(ROWS))


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., list[bytes]]:
    """All messages of a file of that name and content."""

    def messages(name: str, content: bytes, columns: list[ColumnSpec] = COLUMNS) -> list[bytes]:
        path = tmp_path / name
        path.write_bytes(content)
        file = describe(path)
        sha256(path)
        return [one for block in READERS[file.format](file, columns) for one in block.messages]

    return messages


# --- What can't be meant --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.csv", CSV.replace(b"user.name", b"name"), r"who \(at user.name\). It has 'n', 'name'"),
        ("a.csv", CSV.split(b"\n", 1)[1], r"lacks columns that the table requires: n, who"),
        ("a.csv", CSV.replace(b"user.name", b"User Name"), "'User Name' is not 'user.name'"),
        ("a.csv", CSV.replace(b"n,user", b" N,user"), "Near misses .*: ' N' is not 'n'. Rename"),
        ("a.csv", b"id;user;note\n1;2;3\n", "It has 'id', 'user', 'note'"),
        ("a.csv", b'n,"who\n1,ann\n', "line 1: a quote in its header is not closed"),
        ("a.csv", CSV.decode().encode("utf-16-le"), "give --encoding utf-16-le"),
        ("a.csv", b"\xff\xfe", "it is empty"),
        ("a.csv", b"\xff\xfen\0,\0w\0h\0o\0\n\0\n\xd8", "it is not utf-16"),
        ("a.json", b'[{"n": 1},\n{"n": 2', "from line 2 on: .*the array does not end"),
        ("a.json", b'[{"n": 1}]\n[{"n": 2}]', "text stands beside the array"),
        ("a.json", b'[{"n": 1}] {"n": 2}', "text stands beside the array"),
        ("a.json", b'[{"n": 1}], 7', "text stands behind the array"),
        ("a.json", b'[{"n": 1}]]', "text stands behind the array"),
        ("a.csv", gzip.compress(CSV, mtime=0), "it is gzip; name it .gz"),
        ("a.csv", PARQUET, "it is Parquet"),
        ("a.csv", b"", "it is empty"),
        ("a.csv", b"\n\n \n", "it is empty"),
        ("a.ndjson", b"", "it is empty"),
        ("a.ndjson.gz", b"", "it is empty"),
        ("a.ndjson.gz", gzip.compress(b"", mtime=0), "it is empty"),
        ("a.ndjson", CSV, "none of its lines starts a JSON object; the first is 'n,user"),
        ("a.ndjson", zstandard.compress(NDJSON), "it is zstd"),
        ("a.ndjson", b"PK\x03\x04...", "zip archive or a spreadsheet"),
        ("a.parquet", NDJSON, "can't be read as parquet"),
        ("a.parquet", b"", "can't be read as parquet"),
        ("a.parquet", parquet(pa.table({"n": [1]})), r"requires: who \(at user.name\)"),
        ("a.parquet", parquet(pa.table({"n": [1], "user": ["ann"]})), r"who \(at user.name\)"),
        ("a.parquet", parquet(pa.table({"n": [1], "user": [{"nick": "a"}]})), "who"),
        ("a.parquet", parquet(pa.table({"N": [1], "user": [{"name": "a"}]})), "'N' is not 'n'"),
        (
            "a.parquet",
            parquet(pa.table({"n": [1], "user": [{"Name ": "a"}]})),
            "'user.Name ' is not 'user.name'",
        ),
    ],
)
def test_a_file_that_can_not_be_meant_is_refused_with_the_reason(
    name: str, content: bytes, says: str, read: Callable[..., list[bytes]]
) -> None:
    with pytest.raises(FileUnreadable, match=says):
        read(name, content)


@pytest.mark.parametrize(
    ("name", "content"), [("a.csv", b"x,y\n1,2\n"), ("a.parquet", parquet(pa.table({"x": [1]})))]
)
def test_a_file_without_any_column_of_the_table_is_refused(
    name: str, content: bytes, read: Callable[..., list[bytes]]
) -> None:
    with pytest.raises(FileUnreadable, match=r"none of the table's columns: n. It has 'x'"):
        read(name, content, OPTIONAL)


@pytest.mark.parametrize(
    ("name", "content", "rows"),
    [
        ("a.ndjson", NDJSON, 500),
        ("a.ndjson", b"\xef\xbb\xbf\r\n\r\n" + NDJSON, 500),
        ("a.ndjson", b"broken\n" + NDJSON, 501),
        ("a.ndjson", b'{"n": 1, "user": {"na\n' + NDJSON, 501),
        ("a.ndjson", b'{"n": 1}{"n": 2}', 1),
        ("a.ndjson", NDJSON.decode().encode("utf-16"), 500),
        ("a.ndjson", NDJSON.decode().encode("utf-32"), 500),
        ("a.json", json.dumps(ROWS).encode(), 500),
        ("a.json", json.dumps(ROWS, indent=2).encode(), 500),
        ("a.json", b"\xef\xbb\xbf" + json.dumps(ROWS).encode(), 500),
        ("a.json", json.dumps(ROWS).encode("utf-16"), 500),
        ("a.json.gz", gzip.compress(json.dumps(ROWS, indent=2).encode(), mtime=0), 500),
        ("a.json", json.dumps(ROWS[0], indent=1).encode(), 1),
        ("a.json", json.dumps({"rows": ROWS * 99}, indent=4).encode(), 1),
        ("a.json", b'{"n": 1,\n "user": {}}\n{"n": 2,\n "user": {}}\n', 2),
        ("a.csv", CSV, 500),
        ("a.csv", CSV.replace(b",", b";"), 500),
        ("a.csv", CSV.replace(b",", b"\t"), 500),
        ("a.csv", CSV.replace(b",", b"|"), 500),
        ("a.csv", CSV.decode().encode("utf-16"), 500),
        ("a.csv", CSV.decode().encode("utf-32"), 500),
        ("a.csv.zst", zstandard.compress(CSV.decode().encode("utf-16")), 500),
        ("a.csv", b'\xef\xbb\xbf"n","who"\n1,"a;b|c"\n', 1),
        ("a.csv", b"note,who,n\n;;;,a\0b,1\n", 1),
        ("a.parquet", PARQUET, 500),
        ("a.parquet", parquet(pa.table({"n": [1], "user": [[("name", "a")]]}, pa.schema(
            {"n": pa.int64(), "user": pa.map_(pa.string(), pa.string())}
        ))), 1),
    ],
)  # fmt: skip
def test_a_file_that_can_be_meant_is_read(
    name: str, content: bytes, rows: int, read: Callable[..., list[bytes]]
) -> None:
    assert len(read(name, content)) == rows


# --- Broken ones ----------------------------------------------------------------------------------

PACKED = {
    "array.json": json.dumps(ROWS, indent=1).encode(),
    "objects.json": b"\n".join(json.dumps(row, indent=1).encode() for row in ROWS),
    "utf16.csv": CSV.decode().encode("utf-16"),
    "a.ndjson": NDJSON,
    "a.csv": CSV,
    "a.parquet": PARQUET,
    "a.ndjson.gz": gzip.compress(NDJSON, mtime=0),
    "a.csv.zst": zstandard.compress(CSV),
    "a.parquet.gz": gzip.compress(PARQUET, mtime=0),
    "a.parquet.zst": zstandard.compress(PARQUET),
}


def broken(content: bytes, chance: random.Random) -> bytes:
    """The content cut, or with some of its bytes flipped, removed, repeated or made 0."""
    made = bytearray(content)
    for _ in range(chance.choice((1, 1, 2, 20))):
        place = chance.randrange(len(made) or 1)
        end = place + chance.randrange(1, 30)
        match chance.randrange(6):
            case 0:
                del made[place:]
            case 1:
                made[place : place + 1] = bytes([chance.randrange(256)])
            case 2:
                del made[place:end]
            case 3:
                made[place:place] = made[place:end]
            case 4:
                made[place:end] = bytes(end - place)
            case _:
                made[place:end] = chance.randbytes(end - place)
    return bytes(made)


@pytest.mark.parametrize("name", PACKED)
def test_no_broken_file_ends_in_a_traceback(name: str, read: Callable[..., list[bytes]]) -> None:
    chance = random.Random(name)
    said = []
    for _ in range(150):
        try:
            read(name, broken(PACKED[name], chance))
        except BackfillError as error:
            said.append(str(error))
    assert said
    assert not [words for words in said if not words.isprintable()]


@pytest.mark.parametrize("name", [one for one in PACKED if PACKED[one][:1] not in b"n{\xff"])
def test_a_file_is_refused_wherever_it_is_cut(name: str, read: Callable[..., list[bytes]]) -> None:
    whole = PACKED[name]
    for end in {*range(1, len(whole), len(whole) // 60), len(whole) - 1}:
        with pytest.raises(FileUnreadable):
            read(name, whole[:end])


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "a.csv"
    folder.mkdir()
    pipe = tmp_path / "b.csv"
    os.mkfifo(pipe)
    loop = tmp_path / "c.csv"
    loop.symlink_to(loop)
    for path, says in (
        (folder, "a folder"),
        (pipe, "not a regular file"),
        (loop, "can't be read: Too many levels"),
        (tmp_path / ("x" * 300 + ".csv"), "can't be read: File name too long"),
        (tmp_path / "nul\0.csv", "can't be read"),
    ):
        with pytest.raises(FileUnreadable, match=says):
            describe(path)


def test_a_file_that_nobody_may_read_is_refused(tmp_path: Path) -> None:
    # Root may read what its permissions forbid; this file of the kernel's nobody may.
    with pytest.raises(FileUnreadable, match="can't be read: Input/output error"):
        sha256(Path("/proc/self/mem"))
    path = tmp_path / "a.csv"
    path.write_bytes(CSV)
    path.chmod(0)
    if os.getuid():
        with pytest.raises(FileUnreadable, match="Permission denied"):
            sha256(path)


def test_a_name_that_is_no_text_is_shown_as_one(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"a\xff\x1b[31m.xls")
    path.write_bytes(b"x")
    with pytest.raises(FileUnreadable) as raised:
        describe(path)
    assert str(raised.value).isprintable()
    str(raised.value).encode()


# --- Parquet's types ------------------------------------------------------------------------------


def one(
    read: Callable[..., list[bytes]], values: list[Any], kind: Any, **options: Any
) -> list[Any]:
    column = pa.array(values, kind)
    content = parquet(pa.table({"n": column}), **options)
    return [json.loads(row, parse_float=str)["n"] for row in read("a.parquet", content, OPTIONAL)]


DOTTED = [
    ColumnSpec(name="n", type="UInt32", path="$['a.n']"),
    ColumnSpec(name="who", type="String", path="$.user['full name']"),
    ColumnSpec(name="plain", type="String", path="a.n"),
]


def test_a_key_with_a_dot_is_read_from_parquet(read: Callable[..., list[bytes]]) -> None:
    row = {"a.n": 1, "user": {"full name": "Ann"}, "a": {"n": "x"}}
    content = parquet(pa.Table.from_pylist([row]))
    assert [json.loads(one) for one in read("a.parquet", content, DOTTED)] == [row]
    lacking = parquet(pa.Table.from_pylist([{"user": {"full name": "Ann"}, "a": {"n": "x"}}]))
    with pytest.raises(FileUnreadable, match=r"requires: n \(at \$\['a.n'\]\)"):
        read("a.parquet", lacking, DOTTED)


@pytest.mark.parametrize(
    ("header", "columns"),
    [
        (b"$['a.n'],$.user['full name'],a.n", DOTTED),
        (b"n,who,plain", DOTTED),
        (b"n,user.full name,a.n", DOTTED),
        (b"a.n,user.full name", DOTTED[:2]),
        (b"$['a.n'],who", DOTTED[:2]),
    ],
)
def test_a_csv_header_may_write_a_column_by_name_path_or_keys(
    header: bytes, columns: list[ColumnSpec], read: Callable[..., list[bytes]]
) -> None:
    row = {"a.n": 1, "user": {"full name": "Ann"}, "a": {"n": "x"}}
    fields = b"1,Ann,x" if len(columns) == 3 else b"1,Ann"
    wanted = row if len(columns) == 3 else {key: row[key] for key in ("a.n", "user")}
    (message,) = read("a.csv", header + b"\n" + fields + b"\n", columns)
    assert json.loads(message) == wanted


IN_ARRAYS = [
    ColumnSpec(name="sku", type="String", path="$.user['my items'][0].sku"),
    ColumnSpec(name="skus", type="Array(String)", path="$.user['my items'][*].sku"),
]
ITEMS: dict[str, Any] = {"user": {"my items": [{"sku": "a"}, {"sku": "b"}]}}


def test_a_list_of_structs_is_read_from_parquet(read: Callable[..., list[bytes]]) -> None:
    content = parquet(pa.Table.from_pylist([ITEMS]))
    assert [json.loads(one) for one in read("a.parquet", content, IN_ARRAYS)] == [ITEMS]
    for lacking in ({"user": {"my items": [{"x": "a"}]}}, {"user": {"my items": {"sku": "a"}}}):
        with pytest.raises(FileUnreadable, match=r"requires: sku \(at .*, skus \(at "):
            read("a.parquet", parquet(pa.Table.from_pylist([lacking])), IN_ARRAYS)


def test_an_array_is_read_from_csv_as_json(read: Callable[..., list[bytes]]) -> None:
    field = json.dumps(ITEMS["user"]["my items"]).replace('"', '""').encode()
    (message,) = read("a.csv", b"user.my items,x\n" + b'"%s",1\n' % field, IN_ARRAYS)
    assert json.loads(message) == {**ITEMS, "x": "1"}


@pytest.mark.parametrize(
    ("header", "says"),
    [
        (b"sku,skus", r"column sku reads \$.user\['my items'\]\[0\].sku, .* a field of its own"),
        (b"skus", r"as JSON into a field user.my items\."),
        (b"$.user['my items'][0].sku", "as JSON into a field"),
        (b"x,y", r"requires: sku \(at \$.user"),
    ],
)
def test_a_csv_field_of_what_is_in_an_array_is_refused(
    header: bytes, says: str, read: Callable[..., list[bytes]]
) -> None:
    with pytest.raises(FileUnreadable, match=says):
        read("a.csv", header + b"\na,b\n", IN_ARRAYS)


def test_the_keys_of_one_column_are_not_another_s(read: Callable[..., list[bytes]]) -> None:
    with pytest.raises(FileUnreadable, match=r"requires: n \(at \$\['a.n'\]\)"):
        read("a.csv", b"a.n,who\nx,Ann\n", DOTTED)


def test_int96_and_every_other_time_keeps_its_digits(read: Callable[..., list[bytes]]) -> None:
    day = 1_767_225_600_000_000_000
    nanoseconds = [day, day + 1, day + 123_456_000, -1, None]
    shown = ["2026-01-01T00:00:00Z", "2026-01-01T00:00:00.000000001Z"]
    shown += ["2026-01-01T00:00:00.123456Z", "1969-12-31T23:59:59.999999999Z", None]
    for options in ({"use_deprecated_int96_timestamps": True}, {}):
        assert one(read, nanoseconds, pa.timestamp("ns"), **options) == shown
        nested = one(read, [[day], None, []], pa.list_(pa.timestamp("ns")), **options)
        assert nested == [[shown[0]], None, []]
    assert one(read, [day // 1000], pa.timestamp("us", "Asia/Tokyo")) == shown[:1]
    assert one(read, [2**62], pa.timestamp("ms")) == ["4611686018427387 seconds since 1970"]
    assert one(read, [1_500, 0], pa.time64("ns")) == ["00:00:00.0000015", "00:00:00"]
    assert one(read, [86_399_999], pa.time32("ms")) == ["23:59:59.999"]
    assert one(read, [20_454, -1, None], pa.date32()) == ["2026-01-01", "1969-12-31", None]
    assert one(read, [10**8], pa.date32()) == ["100000000 days since 1970"]
    assert one(read, [1_500_000_001], pa.duration("ns")) == ["1.500000001"]


def test_nested_values_and_texts_are_what_they_were(read: Callable[..., list[bytes]]) -> None:
    pairs = pa.map_(pa.int64(), pa.list_(pa.decimal128(30, 3)))
    rows = [[(1, [Decimal("1.500")]), (2, None)], None, [], [(3, [])]]
    assert one(read, rows, pairs) == [{"1": ["1.500"], "2": None}, None, {}, {"3": []}]
    struct = pa.struct({"a": pa.timestamp("ns"), "b": pa.struct({"c": pa.string()})})
    rows = [{"a": None, "b": {"c": "ü"}}, None, {"a": 0, "b": None}]
    assert one(read, rows, struct) == [rows[0], None, {"a": "1970-01-01T00:00:00Z", "b": None}]
    words = pa.array(["x", None, "x"]).dictionary_encode()
    assert one(read, words, words.type) == ["x", None, "x"]
    assert one(read, [True, None], pa.bool_()) == [True, None]
    assert one(read, [float("nan"), 1.5], pa.float64()) == ["nan", "1.5"]
    assert one(read, [None], pa.null()) == [None]


def test_broken_utf_8_in_a_text_goes_along_as_it_is(read: Callable[..., list[bytes]]) -> None:
    broken_text = pa.array([b"x\xff", b"ok"]).view(pa.string())
    content = parquet(pa.table({"n": broken_text}))
    assert read("a.parquet", content, OPTIONAL) == [b'{"n":"x\xff"}', b'{"n":"ok"}']


def test_a_whole_column_of_instants_is_what_arrow_says(read: Callable[..., list[bytes]]) -> None:
    chance = random.Random(7)
    instants = [chance.randrange(-(10**15), 10**16) for _ in range(500)]
    read_back = one(read, instants, pa.timestamp("us", "UTC"))
    assert [datetime.fromisoformat(text) for text in read_back] == [
        datetime.fromtimestamp(us // 10**6, UTC).replace(microsecond=us % 10**6) for us in instants
    ]


# --- Remarks --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", CSV.replace(b",note", b",Note ")),
        ("a.parquet", parquet(pa.Table.from_pylist(ROWS).rename_columns(["n", "user", "Note "]))),
    ],
)
def test_an_optional_column_that_is_there_by_another_name_is_remarked(
    name: str, content: bytes, tmp_path: Path
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    file, remarks = describe(path), []
    next(READERS[file.format](file, COLUMNS, remarks.append))
    (remark,) = remarks
    assert "it lacks optional columns, which will have no value" in remark
    assert "'Note ' is not 'note'" in remark
    # A column that is simply not there, or whose like belongs to another column, needs no remark.
    others = [
        *COLUMNS[:2],
        *(
            ColumnSpec(name=n, type="Nullable(String)", required=False)
            for n in ("Note ", "note", "x")
        ),
    ]
    next(READERS[file.format](file, others, remarks.append))
    assert remarks == [remark]
