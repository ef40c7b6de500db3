"""Carrying out an INSERT with data: the engine reads it from a pipe, as from a file.

chDB has calls of its own for inserts, but they report success where storing has failed: on a full
disk they do, and the rows are lost.
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

#: Bytes in the pipe at most; the kernel's own default would mean sixteen times the switches.
_PIPE = 1 << 20


def insert(
    connection: EngineConnection,
    found: Insertion,
    data: Spool,
    mark: str,
    kill: Callable[[], None],
) -> StatementCounts:
    """Run an insert with data; raises EngineError, or Disconnected when the client vanishes.

    ``kill`` ends the statement that has ``mark`` in it; what it has stored by then stays.
    """
    with _filled(data.whole) or _fed(data, kill) as source:
        infile = f"FROM INFILE '/proc/self/fd/{source}'"
        sql = f"{found.head} {infile} {found.settings} FORMAT {found.form} {mark}"
        return connection.run(sql).counts


def _filled(data: bytes | None) -> AbstractContextManager[int] | None:
    """A pipe that holds all of the data already: a thread costs a tenth of a small insert."""
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
    """A pipe that is written to while it is read; raises what went wrong with the data."""
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
        # A feeder that still writes is refused from here on.
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
            pass  # the engine has ended before the data has, and says why
        except BaseException as error:  # noqa: BLE001 - raised in the thread that waits
            self.failure = error
            # Before the end of the data: to the engine it would be the end of a whole insert.
            self._kill()
        finally:
            os.close(self._sink)
