"""Runs a statement on a connection and sends its result."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from itertools import chain
from queue import Queue

from millrace.embedded.clickhouse import formats, statement
from millrace.embedded.clickhouse.engine import EngineConnection, Result, StatementCounts, Stream
from millrace.embedded.clickhouse.errors import EngineError
from millrace.embedded.clickhouse.response import Response

#: A result limited to at most this many bytes is sent as a whole instead of streamed.
SMALL = 256 << 20
#: Bytes of a result to wait for before sending, so that a small result needs only one write.
_FIRST = 1 << 16
_PIPE = 1 << 20


@dataclass(frozen=True)
class Work:
    """A statement to run: its format, bound parameters, and how to send the result.

    ``wait`` means to send nothing before the end; ``bounded``, that the result is at most SMALL;
    ``mark`` is the comment that finds the query again in system.processes.
    """

    sql: str
    form: str
    bound: Mapping[str, str]
    wait: bool
    bounded: bool
    mark: str


def summary(counts: StatementCounts) -> str:
    """The X-ClickHouse-Summary header."""
    return json.dumps(
        {
            "read_rows": str(counts.read_rows),
            "read_bytes": str(counts.read_bytes),
            "written_rows": str(counts.written_rows),
            "written_bytes": str(counts.written_bytes),
            "total_rows_to_read": str(counts.read_rows),
            "result_rows": str(counts.result_rows),
            "result_bytes": str(counts.result_bytes),
            "elapsed_ns": str(int(counts.seconds * 1e9)),
        },
        separators=(",", ":"),
    )


def query(connection: EngineConnection, work: Work, response: Response) -> None:
    """Run a statement other than an INSERT with data, and send its result; raises EngineError."""
    words = statement.first_words(work.sql.encode("utf-8", "surrogateescape"))
    stitch = formats.stitch(work.form)
    if work.wait or not statement.is_read(words) or (stitch is None and work.bounded):
        _whole(connection.run(work.sql, work.form, work.bound), response)
    elif stitch is not None:
        with closing(connection.stream(work.sql, work.form, work.bound)) as blocks:
            _streamed(blocks, stitch, formats.ending(work.form), response)
    else:
        _piped(connection, work, response)


def _whole(result: Result, response: Response) -> None:
    response.whole(200, result.data, {"X-ClickHouse-Summary": summary(result.counts)})


def _streamed(blocks: Stream, stitch: formats.Stitch, ending: bytes, response: Response) -> None:
    first = next(blocks, None)
    if first is None:
        response.whole(200, b"", {"X-ClickHouse-Summary": summary(StatementCounts())})
        return
    second = next(blocks, None) if len(first.data) < _FIRST else None
    counts = {"X-ClickHouse-Summary": summary(blocks.counts)}
    if second is None and len(first.data) < _FIRST:
        response.whole(200, bytes(stitch(first.data, True)) + ending, counts)
        return
    response.begin(counts)
    response.write(stitch(first.data, True))
    for block in chain([] if second is None else [second], blocks):
        response.write(stitch(block.data, False))
    if ending:
        response.write(ending)
    response.end(summary(blocks.counts))


def _piped(connection: EngineConnection, work: Work, response: Response) -> None:
    """Stream a format that is one document, by letting the engine write into a pipe."""
    name, at = statement.output_format(work.sql)
    source, sink = os.pipe()
    query = work.sql[:at].rstrip().rstrip(";")
    clause = work.sql[at:].rstrip().rstrip(";") if name else f"FORMAT {work.form}"
    # On a new line, so that a comment at the query's end does not swallow it.
    sql = f"{query}\nINTO OUTFILE '/proc/self/fd/{sink}' TRUNCATE {clause}\n{work.mark}"
    outcome: Queue[Result | EngineError] = Queue()

    def run() -> None:
        try:
            outcome.put(connection.run(sql, work.form, work.bound))
        except EngineError as error:
            outcome.put(error)
        finally:
            os.close(sink)

    thread = threading.Thread(target=run, name="pipe")
    thread.start()
    try:
        _forward(source, response, outcome)
    finally:
        # Without a reader the engine's next write fails, which ends the query.
        os.close(source)
        thread.join()


def _forward(source: int, response: Response, outcome: Queue[Result | EngineError]) -> None:
    held: list[bytes] = []
    size = 0
    while data := os.read(source, _PIPE):
        if response.started:
            response.write(data)
            continue
        held.append(data)
        size += len(data)
        if size >= _FIRST:
            response.begin({})
            response.write(b"".join(held))
    result = outcome.get()
    if isinstance(result, EngineError):
        raise result
    if response.started:
        response.end(summary(result.counts))
    else:
        counts = {"X-ClickHouse-Summary": summary(result.counts)}
        response.whole(200, b"".join(held), counts)
