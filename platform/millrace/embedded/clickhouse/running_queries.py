"""Lists running queries by the ids that clients gave them, and stops them.

chDB gives every query an id of its own and does not accept one. To find a query again in
``system.processes``, inserts carry their id in a comment, which the query's text keeps there. A
SELECT runs in the thread that requested it, whose number is in ``thread_ids``.
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

#: Characters that must not be in a comment, or that a bound parameter would have to escape.
_ODD = re.compile(r"[*\\\s]")
_FIND = """
SELECT query_id FROM system.processes
WHERE query NOT LIKE '%system.processes%'
  AND (has(thread_ids, {thread:UInt64}) OR position(query, {mark:String}) > 0)
"""


@dataclass
class Process:
    """A running query: its id, its user, and the native id of its thread."""

    query_id: str
    user: str
    thread: int

    @property
    def mark(self) -> str:
        """A comment that finds the query again in system.processes."""
        return f"/* id {_ODD.sub('', self.query_id)} */"


class Processes:
    """The queries that are running. Only this object uses ``connection``."""

    def __init__(self, connection: EngineConnection) -> None:
        self._connection = connection
        self._engine = threading.Lock()
        self._lock = threading.Lock()
        self._running: dict[str, Process] = {}

    @contextmanager
    def running(self, process: Process) -> Iterator[None]:
        """Keep a query in the list while it runs; raises EngineError 216 if its id is in use."""
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
        """Run a query on this object's own connection; returns its small result as text."""
        with self._engine:
            return self._connection.text(sql, parameters)

    def close(self) -> None:
        """Close the connection."""
        with self._engine:
            self._connection.close()

    def translate(self, statement: str) -> str:
        """A KILL QUERY statement with clients' ids replaced by the engine's."""
        return _LITERAL.sub(lambda text: string(self._engine_id(unquoted(text[0]))), statement)

    def _engine_id(self, query_id: str) -> str:
        process = self._running.get(query_id)
        if process is None:
            return query_id
        return self._find(process) or query_id

    def _find(self, process: Process) -> str:
        ids = self.ask(_FIND, {"thread": str(process.thread), "mark": process.mark})
        return ids.split("\n")[0]

    def kill(self, process: Process) -> None:
        """Ask the engine to stop a query. It is not an error if the query has already ended."""
        with suppress(EngineError):
            engine_id = self._find(process)
            # Looked up again: meanwhile the query may have ended, and its thread serve another.
            if engine_id and self._running.get(process.query_id) is process:
                with self._engine:
                    self._connection.run(f"KILL QUERY WHERE query_id = {string(engine_id)} ASYNC")

    def kill_all(self) -> None:
        """Stop all queries, before the process ends."""
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
        """Kill the query if its client hangs up."""
        self._watched[sock.fileno()] = process
        self._epoll.register(sock.fileno(), select.EPOLLRDHUP | select.EPOLLONESHOT)

    def forget(self, sock: socket.socket) -> None:
        """Stop watching, because the query has ended."""
        with suppress(OSError, ValueError):
            self._epoll.unregister(sock.fileno())
        self._watched.pop(sock.fileno(), None)

    def _run(self) -> None:
        while True:
            for number, _ in self._epoll.poll():
                process = self._watched.get(number)
                if process is not None:
                    self._processes.kill(process)
