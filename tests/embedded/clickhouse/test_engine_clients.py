"""clickhouse-connect's own sides, each unchanged on the embedded engine."""

from __future__ import annotations

import asyncio
import threading
import time
import uuid
from typing import Any

import clickhouse_connect
import pandas as pd
import pyarrow as pa
import pytest
import sqlalchemy as sa
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError
from clickhouse_connect.driver.external import ExternalData


@pytest.fixture
def table(client: Client, database: str) -> str:
    client.command(
        f"CREATE TABLE {database}.t (n UInt32, s String, t Nullable(DateTime64(3, 'UTC'))) "
        "ENGINE = MergeTree ORDER BY n"
    )
    return f"{database}.t"


def test_rows_go_in_and_come_out(client: Client, table: str) -> None:
    client.insert(table, [[n, f"s{n}", None] for n in range(1000)], column_names=["n", "s", "t"])
    assert client.query(f"SELECT count(), sum(n), max(s) FROM {table}").first_row == (
        1000,
        499500,
        "s999",
    )


def test_rows_stream(client: Client) -> None:
    with client.query_rows_stream("SELECT number FROM numbers(300000)") as stream:
        assert sum(row[0] for row in stream) == 299999 * 300000 // 2


def test_pandas_goes_in_and_comes_out(client: Client, table: str) -> None:
    times = pd.to_datetime(["2026-01-01T00:00:00.001Z", "2026-01-02T00:00:00.000Z"])
    frame = pd.DataFrame({"n": [1, 2], "s": ["a", "ü"], "t": times})
    client.insert_df(table, frame)
    found = client.query_df(f"SELECT n, s, t FROM {table} ORDER BY n")
    assert found["s"].tolist() == ["a", "ü"]
    assert [one.timestamp() for one in found["t"]] == [one.timestamp() for one in times]
    with client.query_df_stream("SELECT number FROM numbers(100000)") as stream:
        assert sum(len(block) for block in stream) == 100_000


def test_arrow_goes_in_and_comes_out(client: Client, table: str) -> None:
    client.insert_arrow(table, pa.table({"n": pa.array([1, 2], pa.uint32()), "s": ["a", "b"]}))
    assert client.query_arrow(f"SELECT n FROM {table} ORDER BY n")["n"].to_pylist() == [1, 2]
    with client.query_arrow_stream("SELECT number FROM numbers(100000)") as stream:
        assert sum(block.num_rows for block in stream) == 100_000


def test_external_data_is_a_table_of_the_query(client: Client) -> None:
    data = ExternalData(
        file_name="ids.csv", fmt="CSV", structure=["id UInt32", "name String"], data=b"1,a\n5,b\n"
    )
    found = client.query(
        "SELECT name FROM numbers(10) AS n JOIN ids ON n.number = ids.id ORDER BY id",
        external_data=data,
    )
    assert found.result_rows == [("a",), ("b",)]


def test_queries_may_be_sent_as_a_form(engine: Any) -> None:
    with engine.client(form_encode_query_params=True) as client:
        parameters = {"x": "a'b", "n": [1, 2]}
        found = client.query("SELECT {x:String} AS x, {n:Array(UInt8)} AS n", parameters=parameters)
        assert found.first_row == ("a'b", [1, 2])


def test_a_statement_may_come_in_parts(engine: Any) -> None:
    """As a server joins them: the address, then each field of that name, with nothing between."""
    boundary = "part"
    fields = [("query", "T to"), ("param_x", "7"), ("query", "String({x:UInt8}"), ("query", ")")]
    form = "".join(
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in fields
    )
    answer = engine.http(
        "SELEC",
        f"{form}--{boundary}--\r\n".encode(),
        headers={"Content-Type": f"multipart/form-data; boundary={boundary}"},
    )
    assert (answer.status, answer.body) == (200, b"7\n")


def test_many_parameters_do_not_break_an_address(engine: Any) -> None:
    with engine.client(form_encode_query_params=True) as client:
        ids = list(range(50_000))
        sql = "SELECT length({ids:Array(UInt32)})"
        assert client.query(sql, parameters={"ids": ids}).first_row == (50_000,)


def test_the_asynchronous_client_runs_many_queries(engine: Any) -> None:
    async def run() -> list[int]:
        client = await clickhouse_connect.get_async_client(
            host="127.0.0.1",
            port=engine.port,
            username=engine.user,
            password=engine.password,
            autogenerate_session_id=False,
        )
        try:
            answers = await asyncio.gather(
                *(client.query(f"SELECT {n} + sum(number) FROM numbers(1000)") for n in range(20))
            )
            return [answer.first_row[0] for answer in answers]
        finally:
            await client.close()

    assert asyncio.run(run()) == [499500 + n for n in range(20)]


def test_sqlalchemy_reads_and_writes(engine: Any, table: str) -> None:
    database, name = table.split(".")
    url = sa.URL.create(
        "clickhousedb",
        username=engine.user,
        password=engine.password,
        host="127.0.0.1",
        port=engine.port,
        database=database,
    )
    made = sa.create_engine(url)
    with made.begin() as connection:
        connection.execute(sa.text(f"INSERT INTO {name} (n, s) VALUES (7, 'seven')"))
        found = connection.execute(sa.text(f"SELECT n, s FROM {name}")).all()
        assert [tuple(row) for row in found] == [(7, "seven")]
        assert name in sa.inspect(connection).get_table_names(schema=database)
    made.dispose()


# --- Sessions ---------------------------------------------------------------------------------


def test_a_session_keeps_settings_and_temporary_tables(engine: Any) -> None:
    session = uuid.uuid4().hex
    assert engine.http("SET max_threads = 3", session_id=session).status == 200
    assert engine.http("CREATE TEMPORARY TABLE t (n UInt8)", session_id=session).status == 200
    assert engine.http("INSERT INTO t VALUES (5)", session_id=session).status == 200
    assert engine.http("SELECT n FROM t", session_id=session).body == b"5\n"
    value = engine.http("SELECT getSetting('max_threads')", session_id=session).body
    assert value == b"3\n"
    assert engine.http("SELECT n FROM t").code == 60
    assert engine.http("SELECT n FROM t", session_id=uuid.uuid4().hex).code == 60


def _until_it_runs(engine: Any, sql: str) -> None:
    running = "SELECT count() FROM system.processes WHERE query = {sql:String}"
    deadline = time.monotonic() + 120
    while engine.http(running, param_sql=sql).body == b"0\n":
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_session_refuses_a_second_query_at_once(engine: Any) -> None:
    session = uuid.uuid4().hex
    slow = "SELECT sleepEachRow(0.2) FROM numbers(8) SETTINGS max_block_size = 1"
    first = threading.Thread(target=engine.http, args=(slow,), kwargs={"session_id": session})
    first.start()
    _until_it_runs(engine, slow)
    second = engine.http("SELECT 1", session_id=session)
    assert (second.code, b"SESSION_IS_LOCKED" in second.body) == (373, True)
    first.join()
    assert engine.http("SELECT 1", session_id=session).status == 200


def test_a_session_can_be_asked_to_exist(engine: Any) -> None:
    answer = engine.http("SELECT 1", session_id=uuid.uuid4().hex, session_check=1)
    assert answer.code == 372


# --- Kill and limits --------------------------------------------------------------------------


def test_a_query_can_be_killed(engine: Any) -> None:
    query_id = uuid.uuid4().hex
    slow = "SELECT count() FROM numbers(1000000000000) WHERE NOT ignore(sqrt(number))"
    answers: list[Any] = []
    running = threading.Thread(
        target=lambda: answers.append(engine.http(slow, query_id=query_id)), daemon=True
    )
    running.start()
    _until_it_runs(engine, slow)
    killed = engine.http(f"KILL QUERY WHERE query_id = '{query_id}'")
    assert killed.status == 200
    running.join(120)
    assert not running.is_alive()
    assert answers[0].status == 500
    assert answers[0].code == 394


@pytest.mark.parametrize(
    ("sql", "limits", "code"),
    [
        ("SELECT count() FROM numbers(100000000000)", {"max_execution_time": 1}, 159),
        ("SELECT number FROM numbers(100)", {"max_result_rows": 10}, 396),
        ("SELECT max(number) FROM numbers(10000000)", {"max_rows_to_read": 100}, 158),
        (
            "SELECT groupArray(toString(number)) FROM numbers(10000000)",
            {"max_memory_usage": 20_000_000},
            241,
        ),
    ],
)
def test_limits_stop_a_query_with_clickhouses_code(
    sql: str, limits: dict[str, int], code: int, engine: Any
) -> None:
    answer = engine.http(sql, **limits)
    assert answer.status in (408, 500)
    assert answer.code == code


@pytest.mark.parametrize(
    "form", ["ArrowStream", "Arrow", "Parquet", "JSON", "CSVWithNames", "Native"]
)
@pytest.mark.parametrize("wait", [0, 1])
def test_the_next_answer_has_nothing_of_one_that_failed(form: str, wait: int, engine: Any) -> None:
    """What an Arrow stream had written before its query failed came before the next result."""
    limits = {"max_memory_usage": 60_000_000, "max_threads": 2}
    failed = engine.http(
        "SELECT number AS n FROM numbers(50000000) ORDER BY cityHash64(n)",
        default_format=form,
        wait_end_of_query=wait,
        **limits,
    )
    assert failed.code == 241
    answer = engine.http("SELECT 7", default_format="CSV", **limits)
    assert (answer.status, answer.body) == (200, b"7\n")


def test_an_error_in_mid_stream_is_seen_as_one_by_the_client(client: Client) -> None:
    sql = (
        "SELECT number, throwIf(number = 900000, 'broken in the middle') FROM numbers(1000000) "
        "SETTINGS max_block_size = 1000"
    )
    with pytest.raises(ClickHouseError, match="broken in the middle"):  # noqa: PT012, SIM117
        with client.query_rows_stream(sql) as stream:
            for _ in stream:
                pass


def test_errors_have_clickhouses_codes_and_status(engine: Any) -> None:
    for sql, status, code in (
        ("SELEC 1", 400, 62),
        ("SELECT nothing", 404, 47),
        ("SELECT * FROM nothing", 404, 60),
        ("SELECT * FROM nothing.nothing", 404, 81),
        ("SELECT toUInt8('x')", 400, 6),
    ):
        answer = engine.http(sql)
        assert answer.code == code, sql
        assert answer.status in (status, 400, 404, 500), sql
        assert answer.body.startswith(b"Code: %d. DB::Exception: " % code), sql
