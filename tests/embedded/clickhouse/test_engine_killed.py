"""What the engine has acknowledged outlives ``kill -9``; bad clients do it no harm."""

from __future__ import annotations

import json
import os
import random
import shutil
import socket
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from millrace.embedded.clickhouse.tokens import forget_lost

BLOCK = 5_000


def _insert(engine: Any, block: int, token: str) -> bool:
    rows = "\n".join(
        json.dumps({"n": n}) for n in range(block * BLOCK, (block + 1) * BLOCK)
    ).encode()
    try:
        return (
            engine.http(
                "INSERT INTO k.t FORMAT JSONEachRow", rows, insert_deduplication_token=token
            ).status
            == 200
        )
    except OSError:
        return False
    except Exception:  # noqa: BLE001 - http.client has many ways to say that the peer is gone
        return False


@pytest.mark.chaos
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_nothing_acknowledged_is_lost_and_nothing_retried_is_twice(
    new_engine: Callable[..., Any],
) -> None:
    engine = new_engine()
    engine.http("CREATE DATABASE k")
    engine.http(
        "CREATE TABLE k.t (n UInt64) ENGINE = MergeTree ORDER BY n "
        "SETTINGS non_replicated_deduplication_window = 1000"
    )
    chance, kills, block = random.Random(1), 8, 0
    for _ in range(kills):
        killer = threading.Timer(chance.uniform(0.05, 0.6), engine.kill)
        killer.start()
        while True:
            token = uuid.uuid4().hex
            if not _insert(engine, block, token):
                killer.join()
                engine.start()
                assert _insert(engine, block, token), engine.log
                block += 1
                break
            block += 1
    answer = engine.http("SELECT count(), uniqExact(n), max(n) FROM k.t")
    total = block * BLOCK
    assert answer.body.decode().split() == [str(total), str(total), str(total - 1)]
    assert block >= kills


@pytest.mark.slow
def test_the_token_of_a_part_that_a_kill_has_cost_is_forgotten(
    new_engine: Callable[..., Any],
) -> None:
    """As a kill leaves it between the note of the token and the part, in a table and its rollup."""
    engine = new_engine()
    settings = "ORDER BY n SETTINGS non_replicated_deduplication_window = 1000"
    for sql in (
        "CREATE DATABASE k",
        f"CREATE TABLE k.t (n UInt64) ENGINE = MergeTree PARTITION BY n % 2 {settings}",
        f"CREATE TABLE k.r (n UInt64) ENGINE = MergeTree {settings}",
        "CREATE MATERIALIZED VIEW k.v TO k.r AS SELECT max(n) AS n FROM k.t",
    ):
        assert engine.http(sql).status == 200, sql

    def insert(block: int) -> None:
        answer = engine.http(
            f"INSERT INTO k.t SELECT number FROM numbers({block * 10}, 10)",
            insert_deduplication_token=f"token {block}",
            deduplicate_insert_select="enable_even_for_bad_queries",
            deduplicate_blocks_in_dependent_materialized_views=1,
        )
        assert answer.status == 200, answer.body

    def landed() -> list[bytes]:
        return [engine.http(f"SELECT count() FROM k.{name}").body.strip() for name in "tr"]

    for block in range(8):
        insert(block)
    engine.http("OPTIMIZE TABLE k.t FINAL")
    insert(8)
    engine.kill()
    assert _newest(engine.data, "1").exists()
    shutil.rmtree(_newest(engine.data, "1"))
    shutil.rmtree(_newest(engine.data, "all"))

    engine.start()
    assert landed() == [b"85", b"8"]
    for block in range(9):
        insert(block)
    assert landed() == [b"90", b"9"]
    engine.kill()
    engine.start()
    insert(8)
    assert landed() == [b"90", b"9"]


@pytest.mark.parametrize("torn", ["1\tall_9_", "1\tall_9_9_0\n", "\0\0"])
def test_a_torn_log_of_tokens_keeps_no_engine_from_starting(tmp_path: Path, torn: str) -> None:
    """As a full disk leaves it. The engine's own reading of it is its own affair."""
    folder = tmp_path / "store" / "abc" / "table" / "deduplication_logs"
    folder.mkdir(parents=True)
    whole = "1\tall_1_1_0\tall_1\n"
    path = folder / "deduplication_log_1.txt"
    path.write_text(whole)
    assert forget_lost(tmp_path) == 1
    assert path.read_text() == whole + "2\tall_1_1_0\tall_1\n"
    path.write_text(whole + torn)
    assert forget_lost(tmp_path) == 0
    assert path.read_text() == whole + torn


def _newest(data: Path, partition: str) -> Path:
    """The folder of a partition's last part that is no merge's."""
    found = (data / "store" / "store").glob(f"*/*/{partition}_*_0")
    return max(found, key=lambda one: int(one.name.split("_")[1]))


def test_users_and_data_are_there_after_a_restart(new_engine: Callable[..., Any]) -> None:
    engine = new_engine()
    digest = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
    identified = f"IDENTIFIED WITH sha256_hash BY '{digest}'"
    for sql in (
        "CREATE DATABASE d",
        "CREATE TABLE d.t (n UInt8) ENGINE = MergeTree ORDER BY n",
        "INSERT INTO d.t VALUES (1)",
        f"CREATE USER u {identified} DEFAULT DATABASE d SETTINGS readonly = 1",
        "GRANT SELECT ON d.* TO u",
    ):
        assert engine.http(sql).status == 200, sql
    assert engine.stop() == 0
    engine.start()
    assert engine.http("SELECT n FROM d.t", user="u", password="test").body == b"1\n"
    assert engine.http("INSERT INTO d.t VALUES (2)", user="u", password="test").code in (164, 497)
    assert engine.http("SELECT 1", user="u", password="wrong").code == 516
    assert engine.http("SELECT 1", user="nobody", password="test").code == 516


def test_a_data_folder_has_one_engine(new_engine: Callable[..., Any], tmp_path: Path) -> None:
    new_engine()
    with pytest.raises(AssertionError, match="did not start"):
        new_engine()


def _raw(engine: Any, data: bytes, *, wait: float = 0.1) -> None:
    with socket.create_connection(("127.0.0.1", engine.port), timeout=5) as client:
        client.sendall(data)
        time.sleep(wait)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x00\xff" * 5000,
        b"GET",
        b"GET / HTTP/1.1\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 100\r\n\r\nshort",
        b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nZZZ\r\n",
        b"GET /?query=SELECT+number+FROM+numbers(100000000) HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 100_000,
        b"GET /" + b"x" * 3_000_000 + b" HTTP/1.1\r\n\r\n",
    ],
)
def test_bad_clients_do_no_harm(data: bytes, engine: Any) -> None:
    for _ in range(5):
        try:
            _raw(engine, data, wait=0.02)
        except OSError:
            continue
    assert engine.http("SELECT 1").body == b"1\n"


def test_a_client_that_leaves_in_mid_answer_leaves_nothing_behind(engine: Any) -> None:
    from base64 import b64encode

    assert engine.process is not None
    process = psutil.Process(engine.process.pid)
    secret = b64encode(f"{engine.user}:{engine.password}".encode())
    request = (
        b"GET /?query=SELECT+number+FROM+numbers(1000000000) HTTP/1.1\r\nHost: x\r\n"
        b"Authorization: Basic %s\r\n\r\n" % secret
    )
    before = process.num_fds()
    for _ in range(20):
        _raw(engine, request, wait=0.05)
    deadline = time.monotonic() + 120
    while process.num_fds() > before + 5 and time.monotonic() < deadline:
        time.sleep(0.1)
    assert process.num_fds() <= before + 5
    assert engine.http("SELECT 1").body == b"1\n"


def test_it_listens_on_loopback_alone(engine: Any) -> None:
    assert engine.process is not None
    listening = [
        one.laddr.ip
        for one in psutil.Process(engine.process.pid).net_connections("tcp")
        if one.status == psutil.CONN_LISTEN
    ]
    assert listening == ["127.0.0.1"]


def test_the_password_is_not_among_the_arguments(engine: Any) -> None:
    assert engine.process is not None
    command = Path(f"/proc/{engine.process.pid}/cmdline").read_bytes()
    assert engine.password.encode() not in command
    assert os.environ.get("CLICKHOUSE_PASSWORD") is None


@pytest.mark.security
def test_the_engine_reads_no_file_of_the_machine(new_engine: Callable[..., Any]) -> None:
    engine = new_engine()
    for sql in (
        "SELECT file('/etc/passwd')",
        "SELECT * FROM file('/etc/passwd', LineAsString)",
        "SELECT * FROM file('/etc/passwd', 'LineAsString', 'line String')",
        "INSERT INTO FUNCTION file('/tmp/made-by-engine', 'CSV', 'n UInt8') VALUES (1)",
    ):
        answer = engine.http(sql)
        assert answer.status != 200, sql
        assert b"root:" not in answer.body
    assert not Path("/tmp/made-by-engine").exists()  # noqa: S108
