"""The listening socket and a thread for each connection."""

from __future__ import annotations

import logging
import socket
import threading
import time

from millrace.embedded.clickhouse.errors import BadRequest, Disconnected
from millrace.embedded.clickhouse.front import Front
from millrace.embedded.clickhouse.request import Reader, Request, parse
from millrace.embedded.clickhouse.response import Response

log = logging.getLogger(__name__)

#: Connections served at once; one more is refused.
MOST = 512
#: Seconds that an idle connection is kept.
IDLE = 300.0
#: Bytes of an unread body that are read and dropped to keep a connection, at most.
_DRAIN = 1 << 20


class Server:
    """Accepts connections until it is told to stop."""

    def __init__(self, host: str, port: int, front: Front) -> None:
        self._front = front
        self._socket = socket.create_server((host, port), backlog=256)
        self.address = self._socket.getsockname()
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._busy = 0
        self._stopping = threading.Event()

    def serve(self) -> None:
        """Accept until `stop`. Runs in a thread of its own."""
        while not self._stopping.is_set():
            try:
                sock, _ = self._socket.accept()
            except OSError:
                if self._stopping.is_set():
                    return
                time.sleep(0.05)  # Out of file descriptors: others must close first.
                continue
            if len(self._open) >= MOST:
                sock.close()
                continue
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self._open.add(sock)
            threading.Thread(target=self._connection, args=(sock,), daemon=True).start()

    def _connection(self, sock: socket.socket) -> None:
        reader = Reader(sock)
        try:
            while not self._stopping.is_set() and self._exchange(sock, reader):
                pass
        except Disconnected:
            pass
        except Exception:
            log.exception("A connection ended by an error of the server")
        finally:
            with self._lock:
                self._open.discard(sock)
            sock.close()

    def _exchange(self, sock: socket.socket, reader: Reader) -> bool:
        """One request and its response; whether another may follow."""
        response = Response(sock, "HTTP/1.1", keep_alive=False, server="ClickHouse")
        try:
            request = parse(reader.head(IDLE), reader)
        except BadRequest as error:
            response.whole(
                error.status, f"{error}\n".encode(), {"Content-Type": "text/plain"}
            )
            return False
        response = Response(
            sock, request.version, request.keep_alive, server="ClickHouse"
        )
        with self._lock:
            self._busy += 1
        try:
            self._front.respond(request, response)
        except BadRequest as error:
            response.keep_alive = False
            if not response.started:
                response.whole(
                    error.status, f"{error}\n".encode(), {"Content-Type": "text/plain"}
                )
        finally:
            with self._lock:
                self._busy -= 1
        return response.keep_alive and _drained(request)

    def stop(self, patience: float) -> bool:
        """Accept nothing more and wait for running requests, seconds; whether all have ended."""
        self._stopping.set()
        self._socket.close()
        deadline = time.monotonic() + patience
        while self._busy and time.monotonic() < deadline:
            time.sleep(0.02)
        return not self._busy

    @property
    def busy(self) -> int:
        """Requests that run now."""
        return self._busy


def _drained(request: Request) -> bool:
    """Read what is left of a body that nobody wanted; False where it is too much."""
    if not request.has_body or request.body_read:
        return True
    return False
