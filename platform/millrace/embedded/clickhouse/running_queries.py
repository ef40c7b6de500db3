"""Running queries by the ids that clients gave them, and how to stop them.

chDB gives every query an id of its own and takes none. A query's text in ``system.processes`` keeps
its comments, so inserts carry their id in one; a SELECT runs in the thread that asked for it, whose
number stands in ``thread_ids``.
"""

from __future__ import annotations

import re
import select
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from millrace.embedded.clickhouse.engine import EngineConnection
from millrace.embedded.clickhouse.errors import EngineError, refuse
from tenants.warehouse.quoting import string, unquoted

_LITERAL = re.compile(r"'(?:[^'\\]|\\.)*'", re.DOTALL)

#: What a comment must not hold, and what a bound parameter would have to escape.
_ODD = re.compile(r"[*\\\s]")
_FIND = """
SELECT query_id FROM system.processes
WHERE query NOT LIKE '%system.processes%'
  AND (has(thread_ids, {thread:UInt64}) OR position(query, {mark:String}) > 0)
"""


@dataclass
class Process:
    """A running query: its id, who runs it, in which thread."""

    query_id: str
    user: str
    thread: int

    @property
    def mark(self) -> str:
        """A comment that finds the query again in system.processes."""
        return f"/* id {_ODD.sub('', self.query_id)} */"


class Processes:
    """The queries that run now. ``connection`` is for this object alone."""

    def __init__(self, connection: EngineConnection) -> None:
        self._connection = connection
        self._engine = threading.Lock()
        self._lock = threading.Lock()
        self._running: dict[str, Process] = {}

    @contextmanager
    def running(self, process: Process) -> Iterator[None]:
        """Keep a query in the list while it runs; raises EngineError 216 when its id is taken."""
        with self._lock:
            if process.query_id in self._running:
                raise refuse(216, f"Query with id = {process.query_id} is already running.")
            self._running[process.query_id] = process
        try:
            yield
        finally:
            with self._lock:
                del self._running[process.query_id]

    def ask(self, sql: str, parameters: Mapping[str, str] | None = None) -> str:
        """A small result of this object's own connection, as text."""
        with self._engine:
            return self._connection.text(sql, parameters)

    def close(self) -> None:
        """Give back the connection."""
        with self._engine:
            self._connection.close()

    def translate(self, statement: str) -> str:
        """A KILL QUERY statement with clients' ids replaced by the engine's."""
        return _LITERAL.sub(lambda found: string(self._engine_id(unquoted(found[0]))), statement)

    def _engine_id(self, query_id: str) -> str:
        process = self._running.get(query_id)
        if process is None:
            return query_id
        return self._find(process) or query_id

    def _find(self, process: Process) -> str:
        found = self.ask(_FIND, {"thread": str(process.thread), "mark": process.mark})
        return found.split("\n")[0]

    def kill(self, process: Process) -> None:
        """Ask the engine to stop a query; it is no error if it has already ended."""
        with suppress(EngineError):
            found = self._find(process)
            if found and self._running.get(process.query_id) is process:
                with self._engine:
                    self._connection.run(f"KILL QUERY WHERE query_id = {string(found)} ASYNC")

    def kill_all(self) -> None:
        """Stop everything, before the process ends."""
        for process in list(self._running.values()):
            self.kill(process)


class Watcher:
    """Kills a query whose client hangs up (cancel_http_readonly_queries_on_client_close)."""

    def __init__(self, processes: Processes) -> None:
        self._processes = processes
        self._epoll = select.epoll()
        self._watched: dict[int, Process] = {}
        threading.Thread(target=self._run, name="watcher", daemon=True).start()

    def watch(self, sock: socket.socket, process: Process) -> None:
        """Begin to look after a query."""
        self._watched[sock.fileno()] = process
        self._epoll.register(sock.fileno(), select.EPOLLRDHUP | select.EPOLLONESHOT)

    def forget(self, sock: socket.socket) -> None:
        """The query is over."""
        with suppress(OSError, ValueError):
            self._epoll.unregister(sock.fileno())
        self._watched.pop(sock.fileno(), None)

    def _run(self) -> None:
        while True:
            for number, _ in self._epoll.poll():
                process = self._watched.get(number)
                if process is not None:
                    self._processes.kill(process)
