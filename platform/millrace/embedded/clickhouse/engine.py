"""chDB, as far as this server uses it: connections, results, streams and inserts.

One connection serves one statement at a time. Every call that runs in the engine releases the GIL.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Generator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from millrace.embedded.clickhouse.errors import translate


@dataclass(frozen=True)
class Counts:
    """What a statement read, wrote and returned, in rows and bytes; seconds it took."""

    read_rows: int = 0
    read_bytes: int = 0
    written_rows: int = 0
    written_bytes: int = 0
    result_rows: int = 0
    result_bytes: int = 0
    seconds: float = 0.0


def _counts(raw: Any) -> Counts:
    return Counts(
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
    """An open ``INSERT``: formatted bytes go in as they come, blocks are cut by the engine."""

    def __init__(self, connection: Any, raw: Any) -> None:
        self._connection = connection
        self._raw = raw

    def append(self, data: bytes) -> None:
        """Hand over some bytes; raises EngineError when the engine refuses them."""
        try:
            self._connection.insert_append(self._raw, data)
        except RuntimeError as error:
            raise translate(error) from None

    def finish(self) -> Counts:
        """Write what is left and say what was written."""
        try:
            raw = self._connection.insert_done(self._raw)
        except RuntimeError as error:
            raise translate(error) from None
        return Counts(
            written_rows=raw.rows_written(),
            written_bytes=raw.bytes_written(),
            seconds=raw.elapsed(),
        )

    def cancel(self) -> None:
        """Drop what the engine has not written yet."""
        with suppress(RuntimeError):
            self._connection.insert_cancel(self._raw)


def _bytes(sql: str) -> bytes:
    return sql.encode("utf-8", "surrogateescape")


class Connection:
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
            raise translate(error) from None

    def text(self, sql: str, parameters: Mapping[str, str] | None = None) -> str:
        """A small result as text (TabSeparated, without the last newline)."""
        return bytes(self.run(sql, "TSV", parameters).data).decode().rstrip("\n")

    def stream(self, sql: str, form: str, parameters: Mapping[str, str]) -> Generator[Result]:
        """The blocks of a SELECT, each formatted by itself. Closing the iterator ends the query."""
        try:
            raw = self._raw.send_query(_bytes(sql), form, params=parameters)
        except RuntimeError as error:
            raise translate(error) from None
        ended = False
        try:
            while True:
                try:
                    block = self._raw.streaming_fetch_result(raw)
                except RuntimeError as error:
                    ended = True
                    raise translate(error) from None
                if block.size() == 0 and block.rows_read() == 0:
                    ended = True
                    return
                yield Result(block)
        finally:
            if not ended:
                with suppress(RuntimeError):
                    self._raw.streaming_cancel_query(raw)

    def insert(self, sql: str, form: str) -> Insert:
        """Open an insert of data in ``form``; ``sql`` ends before the FORMAT clause."""
        try:
            return Insert(self._raw, self._raw.send_insert(_bytes(sql), form))
        except RuntimeError as error:
            raise translate(error) from None

    def classify(self, sql: str) -> tuple[str, int]:
        """What the engine's parser makes of ``sql``: its class and the number of statements."""
        found = self._raw.classify_query(_bytes(sql))
        return found["query_class"].name, found["statement_count"]

    def close(self) -> None:
        """Give the connection back to the engine."""
        with suppress(RuntimeError):
            self._raw.close()


class Engine:
    """The open data folder. Made once a process; it must not fork afterwards."""

    def __init__(self, data: Path, config: Path, scratch: Path) -> None:
        # While it is imported, chDB opens an engine of its own, which reads a config.xml of the
        # working directory and makes a folder among the temporary files.
        os.chdir(scratch)
        os.environ["TMPDIR"] = str(scratch)
        library: Any = importlib.import_module("chdb._chdb")
        library.reset_signal_handlers()
        library.set_signal_handlers_enabled(0)
        self._connect = library.connect
        self._address = f"{data}?config-file={config}"
        # Held open for as long as the process lives: the last one to close shuts the engine down.
        self._anchor = self.connect()

    def connect(self) -> Connection:
        """A new connection with the defaults of the engine's configuration."""
        try:
            return Connection(self._connect(self._address))
        except RuntimeError as error:
            raise translate(error) from None

    def close(self) -> None:
        """Close the last connection, which flushes and shuts down the engine."""
        self._anchor.close()
