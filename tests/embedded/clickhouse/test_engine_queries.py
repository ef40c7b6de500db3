"""Queries, their parameters and settings, their formats and headers."""

from __future__ import annotations

import http.client
import io
import json
import threading

import pytest
from clickhouse_connect.driver.client import Client
from pyarrow import parquet


def test_a_query_gives_its_rows(client: Client) -> None:
    rows = client.query("SELECT number, toString(number) FROM numbers(3)").result_rows
    assert rows == [(0, "0"), (1, "1"), (2, "2")]


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("UInt8", 7),
        ("String", "it's\ta\nback\\slash {x} ünïcode"),
        ("Array(String)", ["a'b", "c\\d", "e\nf"]),
        ("Nullable(Int32)", None),
        ("DateTime", "2024-02-29 12:00:00"),
    ],
)
def test_a_parameter_arrives_as_it_was_given(client: Client, kind: str, value: object) -> None:
    sql = f"SELECT toTypeName({{p:{kind}}}), toString({{p:{kind}}}) = toString({{p:{kind}}})"
    assert client.query(sql, parameters={"p": value}).result_rows[0][0] == kind
    if isinstance(value, str | list | int) and kind != "DateTime":
        assert client.query(f"SELECT {{p:{kind}}}", parameters={"p": value}).first_row[0] == value


def test_an_identifier_may_be_a_parameter(client: Client) -> None:
    rows = client.query(
        "SELECT * FROM {db:Identifier}.{t:Identifier}", parameters={"db": "system", "t": "one"}
    ).result_rows
    assert rows == [(0,)]


def test_a_parameter_of_the_wrong_type_is_refused(engine) -> None:
    answer = engine.http("SELECT {p:UInt8}", param_p="three hundred")
    assert (answer.status, answer.code) == (500, 457)


def test_a_missing_parameter_is_refused(engine) -> None:
    assert engine.http("SELECT {p:UInt8}").code == 456


def test_settings_hold_for_one_request_only(client: Client) -> None:
    sql = "SELECT getSetting('max_block_size')"
    before = client.query(sql).first_row[0]
    assert client.query(sql, settings={"max_block_size": 1234}).first_row[0] == 1234
    assert client.query(sql).first_row[0] == before


def test_asynchronous_inserts_are_off(client: Client) -> None:
    assert client.query("SELECT getSetting('async_insert')").first_row[0] is False


@pytest.mark.parametrize("wait", [0, 1])
def test_every_format_is_one_document(engine, wait: int) -> None:
    sql = "SELECT number AS n, toString(number) AS s FROM numbers(200000) FORMAT "
    read = {
        "JSON": lambda body: json.loads(body)["rows"],
        "JSONCompact": lambda body: json.loads(body)["rows"],
        "CSVWithNames": lambda body: body.count(b"\n") - 1,
        "TSVWithNamesAndTypes": lambda body: body.count(b"\n") - 2,
        "JSONEachRow": lambda body: body.count(b"\n"),
        "JSONCompactEachRowWithNames": lambda body: body.count(b"\n") - 1,
        "Parquet": lambda body: parquet.read_table(io.BytesIO(body)).num_rows,
    }
    for form, rows in read.items():
        answer = engine.http(sql + form, wait_end_of_query=wait)
        assert answer.headers["x-clickhouse-format"] == form
        assert (form, rows(answer.body)) == (form, 200_000)


def test_a_name_with_a_newline_does_not_break_csv(engine) -> None:
    sql = 'SELECT number AS "a""b\nc" FROM numbers(200000) FORMAT CSVWithNames'
    body = engine.http(sql).body
    assert body.count(b"\nc") == 1
    assert body.endswith(b"199999\n")


def test_a_comment_at_the_end_does_not_swallow_the_format(engine) -> None:
    answer = engine.http("SELECT 1 AS x -- the end", default_format="JSON")
    assert json.loads(answer.body)["data"] == [{"x": 1}]


def test_the_format_may_come_from_the_request(engine) -> None:
    assert engine.http("SELECT 1 AS x", default_format="JSONEachRow").body == b'{"x":1}\n'
    headers = {"X-ClickHouse-Format": "CSVWithNames"}
    assert engine.http("SELECT 1 AS x", headers=headers).body == b'"x"\n1\n'
    assert engine.http("SELECT 1 AS x").body == b"1\n"


def test_an_empty_result_keeps_its_header(engine) -> None:
    assert engine.http("SELECT 1 AS x WHERE 0 FORMAT CSVWithNames").body == b'"x"\n'
    assert json.loads(engine.http("SELECT 1 AS x WHERE 0 FORMAT JSON").body)["rows"] == 0


def test_totals_come_after_the_rows(engine) -> None:
    sql = "SELECT number % 2 AS k, count() FROM numbers(10) GROUP BY k WITH TOTALS ORDER BY k"
    assert engine.http(sql).body == b"0\t5\n1\t5\n\n0\t10\n"


def test_the_summary_counts_what_was_read(engine) -> None:
    answer = engine.http("SELECT sum(number) FROM numbers(1000)", wait_end_of_query=1)
    summary = json.loads(answer.headers["x-clickhouse-summary"])
    assert (summary["read_rows"], summary["read_bytes"]) == ("1000", "8000")
    assert summary["result_rows"] == "1"


def test_the_headers_name_the_query_and_the_server(engine) -> None:
    headers = engine.http("SELECT 1", query_id="my-own").headers
    assert headers["x-clickhouse-query-id"] == "my-own"
    assert headers["x-clickhouse-timezone"]
    assert headers["x-clickhouse-server-display-name"]


def test_the_database_of_the_request_is_the_current_one(engine, database: str) -> None:
    assert (
        engine.http("SELECT currentDatabase()", database=database).body == f"{database}\n".encode()
    )
    assert engine.http("SELECT 1", database="no_such").code == 81


def test_ping_needs_no_password(engine) -> None:
    for path in ("/ping", "/replicas_status", "/"):
        answer = engine.http(path=path, method="GET", password="wrong")
        assert (answer.status, answer.body) == (200, b"Ok.\n")


def test_other_paths_are_not_found(engine) -> None:
    assert engine.http(path="/play", method="GET").status == 404


def test_a_get_only_reads(engine, database: str) -> None:
    assert engine.http("SELECT 1", method="GET").body == b"1\n"
    answer = engine.http(f"CREATE TABLE {database}.t (a Int8) ENGINE Memory", method="GET")
    assert answer.code == 164
    assert engine.http("SELECT 1", method="GET", max_threads=1).body == b"1\n"


def test_only_one_statement_a_request(engine) -> None:
    assert engine.http("SELECT 1; SELECT 2").code == 62
    assert engine.http("SELECT ';' AS x;").body == b";\n"


def test_a_result_may_not_go_to_a_file(engine) -> None:
    assert engine.http("SELECT 1 INTO OUTFILE '/dev/null'").code == 358


def test_the_query_may_be_half_in_the_address_and_half_in_the_body(engine) -> None:
    assert engine.http("SELECT", b"1 + 1").body == b"2\n"
    assert engine.http(body=b"SELECT 1").body == b"1\n"


def test_many_threads_get_their_own_answers(engine) -> None:
    wrong: list[object] = []

    def ask(number: int) -> None:
        with engine.client(autogenerate_session_id=False) as client:
            for at in range(20):
                found = client.query("SELECT {a:Int32} + {b:Int32}", {"a": number, "b": at})
                if found.first_row[0] != number + at:
                    wrong.append(found.first_row)

    threads = [threading.Thread(target=ask, args=(number * 1000,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.parametrize("form", ["JSON", "JSONCompact", "Parquet", "CSV"])
def test_a_failed_statement_leaves_nothing_in_the_next_result(form: str, engine) -> None:
    """The one after it on the same connection, which is the one with the same settings."""
    failing = "SELECT 'mine' AS mine, throwIf(number = 3) FROM numbers(5) SETTINGS max_block_size=1"
    limit = {"max_result_bytes": 1_000_000, "max_block_size": 4_567}
    try:
        failed = engine.http(failing, default_format=form, **limit)
        said = b"" if failed.status == 200 else failed.body
    except http.client.IncompleteRead as broken:
        # Two blocks came before the failure: the answer had begun. Its body has the error, and no
        # end.
        said = broken.partial
    assert b"throwIf" in said
    assert engine.http("SELECT 2", default_format="TSV", **limit).body == b"2\n"
