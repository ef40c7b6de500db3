"""The server: listens on a socket and runs a thread for each connection."""

from __future__ import annotations

import logging
import socket
import threading
import time
from contextlib import suppress

from millrace.embedded.clickhouse.errors import BadRequest, Disconnected
from millrace.embedded.clickhouse.front import Front
from millrace.embedded.clickhouse.request import SocketReader, parse
from millrace.embedded.clickhouse.response import Response

log = logging.getLogger(__name__)

#: The most connections at once; more are refused.
MOST = 512
#: Seconds before an idle connection is closed.
IDLE = 300.0


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
        """Accept connections until `stop`. Runs in its own thread."""
        while not self._stopping.is_set():
            try:
                sock, _ = self._socket.accept()
            except OSError:
                if self._stopping.is_set():
                    return
                time.sleep(0.05)  # Out of file descriptors: others must close first.
                continue
            if len(self._open) >= MOST:
                _turn_away(sock)
                continue
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self._open.add(sock)
            threading.Thread(target=self._connection, args=(sock,), daemon=True).start()

    def _connection(self, sock: socket.socket) -> None:
        reader = SocketReader(sock)
        try:
            while not self._stopping.is_set() and self._exchange(sock, reader):
                pass
        except Disconnected:
            pass
        except Exception:
            log.exception("A server error ended a connection")
        finally:
            with self._lock:
                self._open.discard(sock)
            _linger(sock)

    def _exchange(self, sock: socket.socket, reader: SocketReader) -> bool:
        """Handle one request; returns whether another may follow on this connection."""
        response = Response(sock, "HTTP/1.1", keep_alive=False)
        try:
            request = parse(reader.head(IDLE), reader)
        except BadRequest as error:
            response.whole(error.status, f"{error}\n".encode(), {"Content-Type": "text/plain"})
            return False
        response = Response(sock, request.version, request.keep_alive)
        with self._lock:
            self._busy += 1
        try:
            self._front.respond(request, response)
        except BadRequest as error:
            response.keep_alive = False
            if not response.started:
                response.whole(error.status, f"{error}\n".encode(), {"Content-Type": "text/plain"})
        finally:
            with self._lock:
                self._busy -= 1
        return response.keep_alive and (request.body_read or not request.has_body)

    def stop(self, patience: float) -> bool:
        """Stop accepting, and wait up to ``patience`` seconds for running requests.

        Returns whether all of them have ended.
        """
        self._stopping.set()
        self._socket.close()
        deadline = time.monotonic() + patience
        while self._busy and time.monotonic() < deadline:
            time.sleep(0.02)
        return not self._busy

    @property
    def busy(self) -> int:
        """The number of running requests."""
        return self._busy


def _turn_away(sock: socket.socket) -> None:
    with suppress(OSError):
        sock.send(
            b"HTTP/1.1 503 Too many connections\r\nContent-Length: 0\r\nConnection: Close\r\n\r\n"
        )
    sock.close()


def _linger(sock: socket.socket) -> None:
    """Close so that the last response still arrives, even if the client is sending.

    Closing with unread data would reset the connection, and the client could lose the response.
    """
    with suppress(OSError):
        sock.shutdown(socket.SHUT_WR)
        sock.settimeout(0.5)
        for _ in range(64):
            if not sock.recv(1 << 20):
                break
    sock.close()
