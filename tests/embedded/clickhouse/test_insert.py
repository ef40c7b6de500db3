"""Inserts with data: through a pipe, complete or with an error, and never a part as a whole."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from millrace.embedded.clickhouse import insert_buffer
from millrace.embedded.clickhouse.engine import StatementCounts
from millrace.embedded.clickhouse.errors import Disconnected, EngineError, refuse
from millrace.embedded.clickhouse.insert import insert
from millrace.embedded.clickhouse.insert_buffer import Budget, Spool
from millrace.embedded.clickhouse.statement import Insertion

INSERTION = Insertion("INSERT INTO t (a)", "CSV", 0, "SETTINGS b = 1")


class FakeConnection:
    """Reads the pipe that the statement names, to its end or up to ``most`` bytes."""

    def __init__(self, most: int = 1 << 30, fails: bool = False) -> None:
        self._most, self._fails = most, fails
        self.sql = ""
        self.data = b""
        self.killed = False

    def run(self, sql: str) -> Any:
        self.sql = sql
        source = re.search(r"'/proc/self/fd/(\d+)'", sql)
        assert source is not None
        while len(self.data) < self._most and (piece := os.read(int(source[1]), 1 << 16)):
            self.data += piece
        if self._fails or self.killed:
            raise refuse(394 if self.killed else 117, "stopped")
        return SimpleNamespace(counts=StatementCounts(written_rows=len(self.data)))

    def kill(self) -> None:
        self.killed = True


def spool(data: Iterator[bytes]) -> Spool:
    made = Spool(Budget())
    made.fill(b"", data)
    return made


def run(connection: Any, data: Spool) -> StatementCounts:
    return insert(connection, INSERTION, data, "/* id q */", connection.kill)


def _open_files() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208


@pytest.fixture(autouse=True)
def _nothing_stays_open() -> Iterator[None]:
    before = _open_files()
    yield
    assert _open_files() <= before


@pytest.mark.parametrize("size", [0, 5, 1 << 16, (1 << 16) + 1, 3 << 20])
def test_all_data_arrives_whatever_its_size(size: int) -> None:
    connection, data = FakeConnection(), os.urandom(size)
    pieces = (data[at : at + 100_000] for at in range(0, size, 100_000))
    assert run(connection, spool(pieces)).written_rows == size
    assert connection.data == data
    head, source, rest = re.split(r"'/proc/self/fd/(\d+)'", connection.sql)
    assert (head, rest) == (
        "INSERT INTO t (a) FROM INFILE ",
        " SETTINGS b = 1 FORMAT CSV /* id q */",
    )
    assert source.isdigit()


def test_data_that_is_whole_but_does_not_fit_into_the_pipe_is_fed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(insert_buffer, "SMALL", 4 << 20)
    data = spool(iter([bytes(3 << 20)]))
    assert data.whole is not None
    assert run(FakeConnection(), data).written_rows == 3 << 20


def test_the_engines_error_is_reported_though_data_is_left() -> None:
    for data in (iter([b"a"]), iter([bytes(3 << 20)])):
        with pytest.raises(EngineError) as failed:
            run(FakeConnection(most=1, fails=True), spool(data))
        assert failed.value.code == 117


@pytest.mark.parametrize("error", [Disconnected(), refuse(271, "The body is not valid gzip.")])
def test_data_that_breaks_off_ends_the_insert_before_the_engine_takes_it_for_complete(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(insert_buffer, "EACH", 1)

    def broken() -> Iterator[bytes]:
        yield b"complete rows\n"
        yield b"half a"
        raise error

    connection = FakeConnection()
    with pytest.raises(type(error)) as failed:
        run(connection, spool(broken()))
    assert failed.value is error
    assert connection.killed


def test_data_that_breaks_off_is_an_error_even_if_the_kill_came_too_late(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(insert_buffer, "EACH", 1)

    def broken() -> Iterator[bytes]:
        yield b"rows\n"
        yield b"rows\n"
        raise Disconnected

    connection: Any = FakeConnection()
    with pytest.raises(Disconnected):
        insert(connection, INSERTION, spool(broken()), "", lambda: None)
