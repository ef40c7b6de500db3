"""Runs an INSERT with data: the engine reads the data from a pipe, as if from a file.

chDB has its own calls for inserts, but they report success even if storing fails, for example on a
full disk, and the rows are lost.
"""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress

from millrace.embedded.clickhouse.engine import EngineConnection, StatementCounts
from millrace.embedded.clickhouse.errors import EngineError
from millrace.embedded.clickhouse.insert_buffer import Spool
from millrace.embedded.clickhouse.statement import Insertion

#: The pipe's size in bytes. The kernel's default would cause sixteen times the context switches.
_PIPE = 1 << 20


def insert(
    connection: EngineConnection,
    insertion: Insertion,
    data: Spool,
    mark: str,
    kill: Callable[[], None],
) -> StatementCounts:
    """Run an insert with data; raises EngineError, or Disconnected if the client goes away.

    ``kill`` ends the statement that contains ``mark``. What it has stored by then stays.
    """
    with _filled(data.whole) or _fed(data, kill) as source:
        infile = f"FROM INFILE '/proc/self/fd/{source}'"
        clause = f"{insertion.settings} FORMAT {insertion.form}"
        return connection.run(f"{insertion.head} {infile} {clause} {mark}").counts


def _filled(data: bytes | None) -> AbstractContextManager[int] | None:
    """A pipe that already contains all of the data; None if it does not fit.

    It saves a thread, which costs a tenth of a small insert.
    """
    if data is None:
        return None
    source, sink = os.pipe()
    with os.fdopen(sink, "wb") as file:
        if len(data) > fcntl.fcntl(sink, fcntl.F_GETPIPE_SZ):
            os.close(source)
            return None
        file.write(data)
    return _closing(source)


@contextmanager
def _closing(source: int) -> Iterator[int]:
    try:
        yield source
    finally:
        os.close(source)


@contextmanager
def _fed(data: Iterable[bytes], kill: Callable[[], None]) -> Iterator[int]:
    """A pipe that a thread fills while the engine reads; raises the error of reading the data."""
    source, sink = os.pipe()
    with suppress(OSError):
        fcntl.fcntl(sink, fcntl.F_SETPIPE_SZ, _PIPE)
    feeder = _Feeder(sink, data, kill)
    feeder.start()
    try:
        yield source
    except EngineError:
        if feeder.failure is None:
            raise
        raise feeder.failure from None
    finally:
        # From here on, a feeder that is still writing gets BrokenPipeError and ends.
        os.close(source)
        feeder.join()
        if feeder.failure is not None:
            raise feeder.failure


class _Feeder(threading.Thread):
    """Writes the data into the pipe, while the engine reads from its other end."""

    def __init__(self, sink: int, data: Iterable[bytes], kill: Callable[[], None]) -> None:
        super().__init__(name="feeder", daemon=True)
        self._sink, self._data, self._kill = sink, data, kill
        self.failure: BaseException | None = None

    def run(self) -> None:
        try:
            for piece in self._data:
                rest = memoryview(piece)
                while rest:
                    rest = rest[os.write(self._sink, rest) :]
        except BrokenPipeError:
            pass  # the engine stopped before the end of the data, and reports why
        except BaseException as error:  # noqa: BLE001 - raised in the thread that waits
            self.failure = error
            # Before closing the pipe, which the engine would take for the end of a complete insert.
            self._kill()
        finally:
            os.close(self._sink)
