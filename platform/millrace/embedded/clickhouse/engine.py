"""The part of chDB that this server uses: connections, results, streams and inserts.

A connection runs one statement at a time. Every call that runs in the engine releases the GIL.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from millrace.embedded.clickhouse.errors import translate


@dataclass(frozen=True)
class StatementCounts:
    """The rows and bytes that a statement read, wrote and returned, and the seconds it took."""

    read_rows: int = 0
    read_bytes: int = 0
    written_rows: int = 0
    written_bytes: int = 0
    result_rows: int = 0
    result_bytes: int = 0
    seconds: float = 0.0

    def with_block(self, block: StatementCounts, read: tuple[int, int]) -> StatementCounts:
        """These counts plus the next block of a stream; ``read`` is rows and bytes read so far.

        A block's own counts miss what was read between two blocks, so the larger number counts.
        """
        return StatementCounts(
            read_rows=max(read[0], self.read_rows + block.read_rows),
            read_bytes=max(read[1], self.read_bytes + block.read_bytes),
            result_rows=self.result_rows + block.result_rows,
            result_bytes=self.result_bytes + block.result_bytes,
            seconds=max(self.seconds, block.seconds),
        )


def _counts(raw: Any) -> StatementCounts:
    return StatementCounts(
        read_rows=raw.storage_rows_read(),
        read_bytes=raw.storage_bytes_read(),
        written_rows=raw.rows_written(),
        written_bytes=raw.bytes_written(),
        result_rows=raw.rows_read(),
        result_bytes=raw.bytes_read(),
        seconds=raw.elapsed(),
    )


class Result:
    """A result. ``data`` is a view into the engine's own buffer, kept alive by this object."""

    def __init__(self, raw: Any) -> None:
        self._raw = raw
        self.counts = _counts(raw)
        self.data: memoryview | bytes = raw.get_memview().view() if raw.size() else b""


class Insert:
    """An open ``INSERT``: accepts formatted bytes in pieces, which the engine turns into blocks."""

    def __init__(self, connection: Any, raw: Any) -> None:
        self._connection = connection
        self._raw = raw

    def append(self, data: bytes) -> None:
        """Pass some bytes to the engine; raises EngineError if it refuses them."""
        try:
            self._connection.insert_append(self._raw, data)
        except RuntimeError as error:
            raise translate(error) from None

    def finish(self) -> StatementCounts:
        """Write the rest and return what was written; raises EngineError."""
        try:
            raw = self._connection.insert_done(self._raw)
        except RuntimeError as error:
            raise translate(error) from None
        return StatementCounts(
            written_rows=raw.rows_written(),
            written_bytes=raw.bytes_written(),
            seconds=raw.elapsed(),
        )


def _bytes(sql: str) -> bytes:
    return sql.encode("utf-8", "surrogateescape")


def _drain(raw: Any) -> None:
    """Discard the partial result of a statement that failed or was abandoned.

    chDB 4 keeps it and would prepend it to the result of the next statement, which may be another
    caller's.
    """
    with suppress(RuntimeError):
        raw.query(b"SELECT 1", "Null")


class Stream:
    """An iterator over the blocks of a SELECT; ``counts`` covers the blocks taken so far.

    ``close`` ends the query. Taking a block may raise EngineError.
    """

    def __init__(self, raw: Any, sql: str, form: str, parameters: Mapping[str, str]) -> None:
        self.counts = StatementCounts()
        self._connection = raw
        #: Rows and bytes read so far, as reported by the engine's progress callback.
        self._read = (0, 0)
        raw.set_progress_callback(self._note)
        try:
            self._raw = raw.send_query(_bytes(sql), form, params=parameters)
        except RuntimeError as error:
            raw.set_progress_callback(None)
            _drain(raw)
            raise translate(error) from None
        self._is_over = False

    def _note(self, progress: Mapping[str, int]) -> None:
        self._read = (progress["read_rows"], progress["read_bytes"])

    def __iter__(self) -> Stream:
        return self

    def __next__(self) -> Result:
        if self._is_over:
            raise StopIteration
        try:
            block = self._connection.streaming_fetch_result(self._raw)
        except RuntimeError as error:
            self._end()
            _drain(self._connection)
            raise translate(error) from None
        result = Result(block)
        self.counts = self.counts.with_block(result.counts, self._read)
        if block.size() == 0 and block.rows_read() == 0:
            self._end()
            raise StopIteration
        return result

    def close(self) -> None:
        if not self._is_over:
            with suppress(RuntimeError):
                self._connection.streaming_cancel_query(self._raw)
            self._end()
            _drain(self._connection)

    def _end(self) -> None:
        self._is_over = True
        self._connection.set_progress_callback(None)


class EngineConnection:
    """One chDB connection: settings, current database and temporary tables of its own."""

    def __init__(self, raw: Any) -> None:
        self._raw = raw

    def run(
        self, sql: str, form: str = "TSV", parameters: Mapping[str, str] | None = None
    ) -> Result:
        """Run a statement to its end; raises EngineError."""
        try:
            return Result(self._raw.query(_bytes(sql), form, params=parameters or {}))
        except RuntimeError as error:
            _drain(self._raw)
            raise translate(error) from None

    def text(self, sql: str, parameters: Mapping[str, str] | None = None) -> str:
        """A small result as text (TabSeparated, without the last newline)."""
        return bytes(self.run(sql, "TSV", parameters).data).decode().rstrip("\n")

    def stream(self, sql: str, form: str, parameters: Mapping[str, str]) -> Stream:
        """The blocks of a SELECT, each formatted by itself; raises EngineError."""
        return Stream(self._raw, sql, form, parameters)

    def insert(self, sql: str, form: str) -> Insert:
        """Open an insert of data in ``form``; ``sql`` ends before the FORMAT clause."""
        try:
            return Insert(self._raw, self._raw.send_insert(_bytes(sql), form))
        except RuntimeError as error:
            raise translate(error) from None

    def classify(self, sql: str) -> tuple[str, int]:
        """The class of ``sql`` and its number of statements, by the engine's parser."""
        verdict = self._raw.classify_query(_bytes(sql))
        return verdict["query_class"].name, verdict["statement_count"]

    def close(self) -> None:
        """Give the connection back to the engine."""
        with suppress(RuntimeError):
            self._raw.close()


class Engine:
    """The open data folder. Create one per process; the process must not fork afterwards."""

    def __init__(self, data: Path, config: Path, scratch: Path) -> None:
        # On import, chDB opens an engine of its own, which reads config.xml from the working
        # directory and creates a folder among the temporary files.
        os.chdir(scratch)
        os.environ["TMPDIR"] = str(scratch)
        library: Any = importlib.import_module("chdb._chdb")
        library.reset_signal_handlers()
        library.set_signal_handlers_enabled(0)
        self._connect = library.connect
        self._address = f"{data}?config-file={config}"
        # Stays open while the process lives: closing the last connection shuts the engine down.
        self._anchor = self.connect()

    def connect(self) -> EngineConnection:
        """A new connection with the defaults of the engine's configuration."""
        try:
            return EngineConnection(self._connect(self._address))
        except RuntimeError as error:
            raise translate(error) from None

    def close(self) -> None:
        """Close the last connection, which flushes and shuts down the engine."""
        self._anchor.close()
