"""The part of chDB that the server uses, on a chDB in memory that notes its calls."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from millrace.embedded.clickhouse.engine import EngineConnection, StatementCounts
from millrace.embedded.clickhouse.errors import EngineError


class FakeBlock:
    def __init__(self, data: bytes = b"", rows: int = 0, read: int = 0) -> None:
        self._data, self._rows, self._read = data, rows, read

    def size(self) -> int:
        return len(self._data)

    def get_memview(self) -> Any:
        return SimpleNamespace(view=lambda: memoryview(self._data))

    def rows_read(self) -> int:
        return self._rows

    def bytes_read(self) -> int:
        return 10 * self._rows

    def storage_rows_read(self) -> int:
        return self._read

    def storage_bytes_read(self) -> int:
        return 10 * self._read

    def rows_written(self) -> int:
        return 3

    def bytes_written(self) -> int:
        return 30

    def elapsed(self) -> float:
        return 0.5


class FakeChdb:
    """Fails where ``fails`` says; ``blocks`` are those of a stream."""

    def __init__(self, fails: str = "", blocks: list[FakeBlock] | None = None) -> None:
        self.calls: list[Any] = []
        self.fails = fails
        self.blocks = blocks or []
        self.progress: Any = "never set"

    def _do(self, name: str, *what: Any) -> None:
        self.calls.append((name, *what))
        if name == self.fails:
            raise RuntimeError("Code: 241. DB::Exception: Memory limit. (MEMORY_LIMIT_EXCEEDED)")

    def query(self, sql: bytes, form: str, params: Any = None) -> FakeBlock:
        # What is drained is another call than a statement.
        self._do("drain" if form == "Null" else "query", sql)
        return FakeBlock(b"1\tx\n\n", 1, 2)

    def send_query(self, sql: bytes, form: str, params: Any) -> str:
        self._do("send", sql)
        return "stream"

    def set_progress_callback(self, callback: Any) -> None:
        self.progress = callback

    def streaming_fetch_result(self, stream: str) -> FakeBlock:
        self._do("fetch")
        return self.blocks.pop(0) if self.blocks else FakeBlock()

    def streaming_cancel_query(self, stream: str) -> None:
        self._do("cancel")

    def send_insert(self, sql: bytes, form: str) -> str:
        self._do("insert", sql, form)
        return "insert"

    def insert_append(self, insert: str, data: bytes) -> None:
        self._do("append", data)

    def insert_done(self, insert: str) -> FakeBlock:
        self._do("done")
        return FakeBlock()

    def classify_query(self, sql: bytes) -> dict[str, Any]:
        return {"query_class": SimpleNamespace(name="READ_ONLY"), "statement_count": 2}

    def close(self) -> None:
        self._do("close")


def test_a_statement_gives_its_data_and_counts() -> None:
    result = EngineConnection(FakeChdb()).run("SELECT '\udcff'")
    assert bytes(result.data) == b"1\tx\n\n"
    assert result.counts == StatementCounts(2, 20, 3, 30, 1, 10, 0.5)
    assert EngineConnection(FakeChdb()).text("SELECT 1") == "1\tx"
    assert EngineConnection(FakeChdb()).classify("SELECT 1") == ("READ_ONLY", 2)


def test_bytes_that_are_not_utf_8_reach_the_engine_as_they_came() -> None:
    chdb = FakeChdb()
    EngineConnection(chdb).run("SELECT '\udcff'")
    assert chdb.calls == [("query", b"SELECT '\xff'")]


@pytest.mark.parametrize("fails", ["query", "send", "fetch"])
def test_the_rest_of_a_statement_that_failed_is_drained(fails: str) -> None:
    """The engine would put it before the next result, which may be another user's."""
    chdb = FakeChdb(fails)
    connection = EngineConnection(chdb)

    def first() -> object:
        return next(connection.stream("SELECT 1", "TSV", {}))

    run = first if fails != "query" else lambda: connection.run("SELECT 1")
    with pytest.raises(EngineError, match="Memory limit") as failed:
        run()
    assert failed.value.code == 241
    assert chdb.calls[-2][0] == fails
    assert chdb.calls[-1] == ("drain", b"SELECT 1")
    if fails != "query":
        assert chdb.progress is None


def test_a_stream_gives_its_blocks_and_ends_once() -> None:
    chdb = FakeChdb(blocks=[FakeBlock(b"a", 1, 1), FakeBlock(b"", 1, 0), FakeBlock(b"b", 2, 3)])
    stream = EngineConnection(chdb).stream("SELECT 1", "TSV", {})
    # A block without data may still have rows, as in the format Null.
    assert [bytes(block.data) for block in stream] == [b"a", b"", b"b"]
    assert next(stream, None) is None
    assert [call[0] for call in chdb.calls] == ["send", "fetch", "fetch", "fetch", "fetch"]
    assert chdb.progress is None
    assert (stream.counts.result_rows, stream.counts.read_rows) == (4, 4)
    stream.close()
    assert len(chdb.calls) == 5


def test_a_stream_that_is_given_up_is_cancelled_and_drained_once() -> None:
    chdb = FakeChdb(blocks=[FakeBlock(b"a", 1), FakeBlock(b"b", 1)])
    stream = EngineConnection(chdb).stream("SELECT 1", "TSV", {})
    next(stream)
    stream.close()
    stream.close()
    assert [call[0] for call in chdb.calls] == ["send", "fetch", "cancel", "drain"]
    assert chdb.progress is None
    assert next(stream, None) is None


def test_what_was_read_between_two_blocks_counts() -> None:
    chdb = FakeChdb(blocks=[FakeBlock(b"a", 1, 5)])
    stream = EngineConnection(chdb).stream("SELECT 1", "TSV", {})
    chdb.progress({"read_rows": 100, "read_bytes": 7})
    next(stream)
    assert (stream.counts.read_rows, stream.counts.read_bytes) == (100, 50)


@pytest.mark.parametrize("fails", ["", "insert", "append", "done"])
def test_an_insert_raises_the_engines_error_wherever_it_fails(fails: str) -> None:
    chdb = FakeChdb(fails)

    def insert() -> StatementCounts:
        opened = EngineConnection(chdb).insert("INSERT INTO t", "CSV")
        opened.append(b"1\n")
        return opened.finish()

    if fails:
        with pytest.raises(EngineError, match="Memory limit"):
            insert()
    else:
        assert insert() == StatementCounts(written_rows=3, written_bytes=30, seconds=0.5)
    assert chdb.calls[-1][0] == (fails or "done")


def test_closing_a_connection_that_is_gone_is_no_error() -> None:
    EngineConnection(FakeChdb("close")).close()
