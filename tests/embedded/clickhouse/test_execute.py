"""How a result is sent: whole, block by block, or through a pipe."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from millrace.embedded.clickhouse import execute
from millrace.embedded.clickhouse.engine import StatementCounts
from millrace.embedded.clickhouse.errors import Disconnected, EngineError, refuse
from millrace.embedded.clickhouse.execute import Work

SUMMARY = "X-ClickHouse-Summary"


class FakeResponse:
    """Notes what is sent; ``fails_at`` is the number of the write that finds the client gone."""

    def __init__(self, fails_at: int = -1) -> None:
        self.sent: list[Any] = []
        self.headers: dict[str, str] = {}
        self.started = False
        self._fails_at = fails_at

    def whole(self, status: int, data: bytes, extra: dict[str, str]) -> None:
        self.sent.append(("whole", bytes(data)))
        self.headers = extra

    def begin(self, extra: dict[str, str]) -> None:
        self.started = True
        self.sent.append("begin")

    def write(self, data: bytes) -> None:
        if len(self.sent) == self._fails_at:
            raise Disconnected
        self.sent.append(bytes(data))

    def end(self, summary: str) -> None:
        self.sent.append("end")
        self.headers = {SUMMARY: summary}

    @property
    def rows(self) -> int:
        return int(json.loads(self.headers[SUMMARY])["result_rows"])


class FakeStream:
    def __init__(self, blocks: list[bytes]) -> None:
        self._blocks = iter(blocks)
        self.counts = StatementCounts()
        self.closed = False

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        data = next(self._blocks)
        if data == b"fail":
            raise refuse(159, "Timeout")
        self.counts = StatementCounts(result_rows=self.counts.result_rows + 1)
        return SimpleNamespace(data=data)

    def close(self) -> None:
        self.closed = True


class FakeConnection:
    """Gives the blocks to whoever runs or streams a statement, or writes them into its OUTFILE."""

    def __init__(self, *blocks: bytes) -> None:
        self._blocks = list(blocks)
        self.stream_of: FakeStream | None = None
        self.ran: list[str] = []

    def run(self, sql: str, form: str, bound: Any) -> Any:
        self.ran.append(sql)
        outfile = re.search(r"INTO OUTFILE '/proc/self/fd/(\d+)'", sql)
        counts = StatementCounts(result_rows=len(self._blocks))
        if outfile is None:
            return SimpleNamespace(data=b"".join(self._blocks), counts=counts)
        for block in self._blocks:
            if block == b"fail":
                raise refuse(159, "Timeout")
            try:
                os.write(int(outfile[1]), block)
            except BrokenPipeError:
                raise refuse(210, "Broken pipe") from None
        return SimpleNamespace(data=b"", counts=counts)

    def stream(self, sql: str, form: str, bound: Any) -> FakeStream:
        self.stream_of = FakeStream(self._blocks)
        return self.stream_of


def query(connection: Any, response: Any, sql: str = "SELECT 1", **options: Any) -> None:
    work: dict[str, Any] = {"form": "TSV", "wait": False, "bounded": False} | options
    execute.query(connection, Work(sql=sql, bound={}, mark="/* id q */", **work), response)


@pytest.fixture(autouse=True)
def _small_first_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execute, "_FIRST", 4)


@pytest.mark.parametrize(
    ("sql", "options"),
    [
        ("SELECT 1", {"wait": True}),
        ("SELECT 1", {"wait": True, "form": "JSON"}),
        ("SELECT 1", {"bounded": True, "form": "JSON"}),
        ("SHOW TABLES", {}),
        ("INSERT INTO t SELECT 1", {}),
        ("", {}),
    ],
)
def test_what_must_wait_or_is_no_select_is_sent_whole(sql: str, options: dict[str, Any]) -> None:
    connection, response = FakeConnection(b"0123456789"), FakeResponse()
    query(connection, response, sql, **options)
    assert connection.ran == [sql]
    assert response.sent == [("whole", b"0123456789")]
    assert response.rows == 1


@pytest.mark.parametrize(
    ("blocks", "sent"),
    [
        ([], [("whole", b"")]),
        ([b"1\n"], [("whole", b"1\n")]),
        ([b"1\n", b"2\n"], ["begin", b"1\n", b"2\n", "end"]),
        ([b"1234"], ["begin", b"1234", "end"]),
        ([b"1234", b"5", b"6"], ["begin", b"1234", b"5", b"6", "end"]),
    ],
)
def test_a_small_result_needs_one_write_and_a_larger_one_is_streamed(
    blocks: list[bytes], sent: list[Any]
) -> None:
    connection, response = FakeConnection(*blocks), FakeResponse()
    query(connection, response)
    assert response.sent == sent
    assert response.rows == len(blocks)
    assert connection.stream_of is not None
    assert connection.stream_of.closed


def test_a_bounded_result_is_streamed_where_its_blocks_can_be_joined() -> None:
    connection, response = FakeConnection(b"1234", b"5"), FakeResponse()
    query(connection, response, bounded=True)
    assert response.sent == ["begin", b"1234", b"5", "end"]


def test_a_header_is_sent_once() -> None:
    response = FakeResponse()
    query(FakeConnection(b"a\n1\n2\n", b"a\n3\n"), response, form="TSVWithNames")
    assert response.sent == ["begin", b"a\n1\n2\n", b"3\n", "end"]


@pytest.mark.parametrize("sent", [[b"fail"], [b"1\n", b"fail"], [b"1234", b"fail"]])
def test_a_stream_that_fails_is_closed_and_its_error_is_the_callers(sent: list[bytes]) -> None:
    connection, response = FakeConnection(*sent), FakeResponse()
    with pytest.raises(EngineError, match="Timeout"):
        query(connection, response)
    assert connection.stream_of is not None
    assert connection.stream_of.closed
    # Before anything was sent the client can still get a plain error.
    assert response.started is (sent[0] == b"1234")


def test_a_stream_whose_client_has_gone_is_closed() -> None:
    connection, response = FakeConnection(b"1234", b"5678"), FakeResponse(fails_at=1)
    with pytest.raises(Disconnected):
        query(connection, response)
    assert connection.stream_of is not None
    assert connection.stream_of.closed


def _open_files() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208


@pytest.mark.parametrize(
    ("blocks", "sent"),
    [
        ([b"{}"], [("whole", b"{}")]),
        ([], [("whole", b"")]),
        ([b"0123456789"], ["begin", b"0123456789", "end"]),
    ],
)
def test_a_document_comes_through_a_pipe_that_is_closed_afterwards(
    blocks: list[bytes], sent: list[Any]
) -> None:
    before, response = _open_files(), FakeResponse()
    query(FakeConnection(*blocks), response, form="JSON")
    assert response.sent == sent
    assert response.rows == len(blocks)
    assert _open_files() <= before


@pytest.mark.parametrize(
    ("sql", "head", "clause"),
    [
        ("SELECT 1", "SELECT 1", "FORMAT JSON"),
        ("SELECT 1 -- end", "SELECT 1 -- end", "FORMAT JSON"),
        ("SELECT 1 ; ", "SELECT 1 ", "FORMAT JSON"),
        ("SELECT 1 FORMAT XML SETTINGS a = 1;", "SELECT 1", "FORMAT XML SETTINGS a = 1"),
    ],
)
def test_the_pipe_stands_between_the_query_and_its_format(sql: str, head: str, clause: str) -> None:
    connection = FakeConnection()
    query(connection, FakeResponse(), sql, form="JSON")
    pattern = r"(.*)\nINTO OUTFILE '/proc/self/fd/\d+' TRUNCATE (.*)\n(.*)"
    match = re.fullmatch(pattern, connection.ran[0], re.DOTALL)
    assert match is not None
    assert match.groups() == (head, clause, "/* id q */")


@pytest.mark.parametrize("blocks", [[b"fail"], [b"0123456789", b"fail"]])
def test_the_error_of_a_document_is_the_callers(blocks: list[bytes]) -> None:
    before, response = _open_files(), FakeResponse()
    with pytest.raises(EngineError, match="Timeout"):
        query(FakeConnection(*blocks), response, form="JSON")
    assert "end" not in response.sent
    assert response.started is (len(blocks) == 2)
    assert _open_files() <= before


def test_a_document_whose_client_has_gone_ends_its_query() -> None:
    before, response = _open_files(), FakeResponse(fails_at=1)
    blocks = [bytes(1 << 16)] * 64  # more than fits into the pipe
    with pytest.raises(Disconnected):
        query(FakeConnection(*blocks), response, form="JSON")
    assert _open_files() <= before


def test_the_summary_has_numbers_as_text_and_nanoseconds() -> None:
    counts = StatementCounts(1, 2, 3, 4, 5, 6, 0.5)
    assert json.loads(execute.summary(counts)) == {
        "read_rows": "1",
        "read_bytes": "2",
        "written_rows": "3",
        "written_bytes": "4",
        "total_rows_to_read": "1",
        "result_rows": "5",
        "result_bytes": "6",
        "elapsed_ns": "500000000",
    }
