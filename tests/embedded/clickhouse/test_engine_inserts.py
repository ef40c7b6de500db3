"""Inserts: formats, content codings, chunked bodies, tokens."""

from __future__ import annotations

import bz2
import gzip
import http.client
import io
import json
import lzma
import time
import zlib
from base64 import b64encode
from collections.abc import Callable, Iterator

import lz4.frame
import pyarrow as pa
import pytest
import zstandard
from clickhouse_connect.driver.client import Client
from pyarrow import feather, parquet

from millrace.embedded.clickhouse.config import MERGED_PARTS

ROWS = 5000
TABLE = pa.table({"a": pa.array(range(ROWS), pa.uint64()), "b": [f"r{i}" for i in range(ROWS)]})


@pytest.fixture
def table(client: Client, database: str) -> str:
    client.command(f"CREATE TABLE {database}.t (a UInt64, b String) ENGINE MergeTree ORDER BY a")
    return f"{database}.t"


def _check(client: Client, table: str, times: int = 1) -> None:
    found = client.query(
        f"SELECT count(), sum(a), countIf(b = concat('r', toString(a))) FROM {table}"
    )
    assert found.first_row == (ROWS * times, ROWS * (ROWS - 1) // 2 * times, ROWS * times)


def _stream() -> bytes:
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, TABLE.schema) as writer:
        writer.write_table(TABLE, max_chunksize=1000)
    return sink.getvalue()


def _file(write: Callable[[io.BytesIO], object]) -> bytes:
    sink = io.BytesIO()
    write(sink)
    return sink.getvalue()


def _lines(line: str) -> bytes:
    return "".join(line.format(i) for i in range(ROWS)).encode()


FORMATS = {
    "ArrowStream": _stream,
    "Arrow": lambda: _file(lambda f: feather.write_feather(TABLE, f, "uncompressed")),
    "Parquet": lambda: _file(lambda f: parquet.write_table(TABLE, f)),
    "JSONEachRow": lambda: _lines('{{"a":{0},"b":"r{0}"}}\n'),
    "JSONCompactEachRow": lambda: _lines('[{0},"r{0}"]\n'),
    "CSV": lambda: _lines("{0},r{0}\n"),
    "TabSeparated": lambda: _lines("{0}\tr{0}\n"),
    "Values": lambda: _lines("({0},'r{0}'),").rstrip(b","),
}


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_lands(engine, client: Client, table: str, form: str) -> None:
    answer = engine.http(f"INSERT INTO {table} FORMAT {form}", FORMATS[form]())
    assert answer.status == 200, answer.body
    assert json.loads(answer.headers["x-clickhouse-summary"])["written_rows"] == str(ROWS)
    _check(client, table)


@pytest.mark.parametrize("form", ["ArrowStream", "CSV", "Values"])
def test_statement_and_data_may_share_the_body(
    engine, client: Client, table: str, form: str
) -> None:
    head = f"/* hello */ INSERT INTO {table} (a, b) FORMAT {form}\n".encode()
    assert engine.http(body=head + FORMATS[form]()).status == 200
    _check(client, table)


def test_values_may_be_in_the_statement(client: Client, table: str) -> None:
    client.command(f"INSERT INTO {table} VALUES (1, 'FORMAT CSV; SELECT'), (2, 'b\\'c')")
    rows = client.query(f"SELECT b FROM {table} ORDER BY a").result_rows
    assert rows == [("FORMAT CSV; SELECT",), ("b'c",)]


def test_rows_may_come_from_a_query(client: Client, table: str) -> None:
    client.command(
        f"INSERT INTO {table} SELECT number, concat('r', toString(number)) FROM numbers({ROWS})"
    )
    _check(client, table)


def test_settings_may_stand_in_the_statement(engine, client: Client, table: str) -> None:
    sql = f"INSERT INTO {table} SETTINGS max_insert_block_size = 1000 FORMAT CSV"
    assert engine.http(sql, FORMATS["CSV"]()).status == 200
    sql = f"INSERT INTO {table} FORMAT CSV SETTINGS input_format_allow_errors_num = 1"
    assert engine.http(sql, FORMATS["CSV"]() + b"x,y\n").status == 200
    _check(client, table, 2)


CODINGS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "lz4": lz4.frame.compress,
    "zstd": zstandard.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
}


@pytest.mark.parametrize("coding", CODINGS)
def test_a_body_of_several_frames_lands_whole(
    engine, client: Client, table: str, coding: str
) -> None:
    data = FORMATS["CSV"]()
    half = data.index(b"\n", len(data) // 2) + 1
    pack = CODINGS[coding]
    body = pack(data[:half]) + pack(data[half:])
    headers = {"Content-Encoding": coding}
    assert engine.http(f"INSERT INTO {table} FORMAT CSV", body, headers=headers).status == 200
    _check(client, table)


@pytest.mark.parametrize("coding", ["gzip", "lz4", "zstd"])
def test_a_cut_or_broken_body_lands_nothing(
    engine, client: Client, table: str, coding: str
) -> None:
    body = CODINGS[coding](FORMATS["CSV"]())
    headers = {"Content-Encoding": coding}
    sql = f"INSERT INTO {table} FORMAT CSV"
    assert engine.http(sql, body[: len(body) // 2], headers=headers).code == 271
    assert engine.http(sql, b"nonsense" * 100, headers=headers).code == 271
    assert client.query(f"SELECT count() FROM {table}").first_row[0] == 0


def test_an_unknown_coding_is_refused(engine, table: str) -> None:
    headers = {"Content-Encoding": "rot13"}
    assert engine.http(f"INSERT INTO {table} FORMAT CSV", b"x", headers=headers).status == 501


def test_a_chunked_body_lands(engine, client: Client, table: str) -> None:
    data = FORMATS["CSV"]()

    def pieces() -> Iterator[bytes]:
        for at in range(0, len(data), 777):
            yield data[at : at + 777]

    connection = http.client.HTTPConnection("127.0.0.1", engine.port, timeout=20)
    credentials = b64encode(b"millrace:s3cret pass").decode()
    connection.request(
        "POST",
        f"/?query=INSERT+INTO+{table}+FORMAT+CSV",
        pieces(),
        {"Authorization": f"Basic {credentials}", "Transfer-Encoding": "chunked"},
        encode_chunked=True,
    )
    assert connection.getresponse().status == 200
    connection.close()
    _check(client, table)


def test_one_insert_makes_one_part(engine, client: Client, table: str) -> None:
    assert engine.http(f"INSERT INTO {table} FORMAT ArrowStream", _stream()).status == 200
    sql = (
        "SELECT count() FROM system.parts "
        "WHERE active AND concat(database, '.', table) = {t:String}"
    )
    assert client.query(sql, parameters={"t": table}).first_row[0] == 1


@pytest.mark.slow
def test_small_parts_are_merged_many_at_a_time(client: Client, database: str) -> None:
    """Ten of them cost one merge; by itself the engine would have merged the first five."""
    client.command(f"CREATE TABLE {database}.small (n UInt64) ENGINE MergeTree ORDER BY n")

    def insert(first: int, last: int) -> None:
        for n in range(first, last):
            client.command(f"INSERT INTO {database}.small VALUES ({n})")

    def parts() -> int:
        sql = "SELECT count() FROM system.parts WHERE active AND database = {d:String}"
        return int(client.query(sql, parameters={"d": database}).first_row[0])

    insert(0, MERGED_PARTS - 1)
    time.sleep(2)
    assert parts() == MERGED_PARTS - 1
    insert(MERGED_PARTS, 2 * MERGED_PARTS)
    deadline = time.monotonic() + 120
    while parts() > MERGED_PARTS:
        assert time.monotonic() < deadline, parts()
        time.sleep(0.1)


def test_a_large_insert_is_handed_on_as_it_comes(engine, client: Client, database: str) -> None:
    client.command(f"CREATE TABLE {database}.big (a String) ENGINE Null")
    client.command(f"CREATE TABLE {database}.sums (n UInt64) ENGINE MergeTree ORDER BY n")
    client.command(
        f"CREATE MATERIALIZED VIEW {database}.v TO {database}.sums AS "
        f"SELECT sum(length(a)) AS n FROM {database}.big"
    )
    body = (b"x" * 1023 + b"\n") * (80 << 10)  # 80 MiB, more than is held for one insert.
    assert engine.http(f"INSERT INTO {database}.big FORMAT LineAsString", body).status == 200
    assert client.query(f"SELECT sum(n) FROM {database}.sums").first_row[0] == 1023 * (80 << 10)


def test_a_token_is_taken_once_through_views_too(engine, client: Client, database: str) -> None:
    window = "SETTINGS non_replicated_deduplication_window = 100"
    client.command(f"CREATE TABLE {database}.inbox (a UInt64, b String) ENGINE Null")
    for name in ("x", "y"):
        client.command(
            f"CREATE TABLE {database}.{name} (a UInt64) ENGINE MergeTree ORDER BY a {window}"
        )
        client.command(
            f"CREATE MATERIALIZED VIEW {database}.v{name} TO {database}.{name} AS "
            f"SELECT a FROM {database}.inbox"
        )
    sql = f"INSERT INTO {database}.inbox FORMAT ArrowStream"
    for token in ("one", "one", "two", "one", "two"):
        answer = engine.http(
            sql,
            _stream(),
            insert_deduplication_token=token,
            deduplicate_blocks_in_dependent_materialized_views=1,
        )
        assert answer.status == 200
    for name in ("x", "y"):
        assert client.query(f"SELECT count() FROM {database}.{name}").first_row[0] == 2 * ROWS


def test_a_token_does_not_stay_on_the_connection(engine, client: Client, database: str) -> None:
    client.command(
        f"CREATE TABLE {database}.t (a UInt64) ENGINE MergeTree ORDER BY a "
        "SETTINGS non_replicated_deduplication_window = 100"
    )
    sql = f"INSERT INTO {database}.t FORMAT CSV"
    engine.http(sql, b"1\n", insert_deduplication_token="t")
    engine.http(sql, b"2\n", insert_deduplication_token="t")
    assert engine.http(f"SELECT groupArray(a) FROM {database}.t").body == b"[1]\n"
    engine.http(sql, b"3\n")
    assert engine.http(f"SELECT arraySort(groupArray(a)) FROM {database}.t").body == b"[1,3]\n"


@pytest.mark.parametrize("tail", ["{} FORMAT CSV", "FORMAT CSV {}\n"])
def test_the_statements_own_settings_win(engine, client: Client, database: str, tail: str) -> None:
    client.command(
        f"CREATE TABLE {database}.t (a UInt64) ENGINE MergeTree ORDER BY a "
        "SETTINGS non_replicated_deduplication_window = 100"
    )
    other = tail.format("SETTINGS max_threads = 1, insert_deduplication_token = 'it''s own'")
    plain = tail.format("SETTINGS max_threads = 1")
    for row, end in enumerate((plain, plain, other, other)):
        sql = f"INSERT INTO {database}.t {end}"
        assert engine.http(sql, b"%d\n" % row, insert_deduplication_token="t'\\").status == 200
    assert engine.http(f"SELECT arraySort(groupArray(a)) FROM {database}.t").body == b"[0,2]\n"


def test_bad_data_is_refused_with_its_code(engine, client: Client, table: str) -> None:
    answer = engine.http(f"INSERT INTO {table} FORMAT CSV", b"1,a\nx,b\n")
    assert (answer.status, answer.code) == (400, 27)
    assert engine.http(f"INSERT INTO {table} FORMAT Parquet", b"garbage").code == 117
    assert engine.http("INSERT INTO no_such FORMAT CSV", b"1\n").code == 60
    assert client.query(f"SELECT count() FROM {table}").first_row[0] == 0
