"""One connection to the cache per thread, for commands that are on the path of every request.

It uses redis-py's connection without its client, which would cost each call that asks the cache
67 µs of CPU more, an eighth of such a call's total (docs/contributing.md says how that was
measured).
"""

from __future__ import annotations

import logging
import os
import threading
import time
from functools import lru_cache

from django.conf import settings
from redis.backoff import NoBackoff
from redis.connection import ConnectionInterface, ConnectionPool
from redis.exceptions import NoScriptError, RedisError
from redis.exceptions import TimeoutError as TookTooLong
from redis.retry import Retry

log = logging.getLogger(__name__)

#: The longest that a request waits for the cache, in seconds.
TIMEOUT = 0.5
#: Seconds to wait before asking a cache again that did not answer.
REST = 1.0
#: Seconds between two warnings in the log about that.
SAID_EVERY = 60.0


class CacheAway(Exception):
    """The cache does not answer."""


class _Line(threading.local):
    """A thread's connection. ``unread``: how many answers to ``tell`` have not been read yet."""

    connection: ConnectionInterface | None = None
    pid = 0
    unread = 0


_line = _Line()
_away_until = 0.0
_said_at = -SAID_EVERY


@lru_cache(maxsize=2)
def _pool(url: str) -> ConnectionPool:
    return ConnectionPool.from_url(
        url,
        socket_timeout=TIMEOUT,
        socket_connect_timeout=TIMEOUT,
        retry=Retry(NoBackoff(), 0),
    )


def _connection() -> ConnectionInterface:
    connection = _line.connection
    if connection is None or _line.pid != os.getpid():
        connection = _pool(settings.CACHES["default"]["LOCATION"]).make_connection()
        _line.connection, _line.pid, _line.unread = connection, os.getpid(), 0
    return connection


def ask(command: bytes) -> object:
    """Send a packed command and wait for its answer. Raises CacheAway and NoScriptError.

    If an open connection turns out to be closed, the command is sent once more on a new one.
    """
    if time.monotonic() < _away_until:
        raise CacheAway
    try:
        return _twice(command)
    except NoScriptError:
        raise
    except (OSError, RedisError) as error:
        _rest(error)
        raise CacheAway from error


def _twice(command: bytes) -> object:
    was_open = _line.connection is not None
    try:
        return _exchange(command)
    except (NoScriptError, TookTooLong):
        raise
    except (OSError, RedisError):
        if not was_open:
            raise
    forget()
    return _exchange(command)


def tell(*commands: bytes) -> None:
    """Send commands without waiting; the next ``ask`` reads their answers first."""
    if time.monotonic() < _away_until:
        return
    try:
        joined = b"".join(commands)
        _connection().send_packed_command([joined], check_health=False)  # type: ignore[no-untyped-call]
        _line.unread += len(commands)
    except (OSError, RedisError) as error:
        _rest(error)


def forget() -> None:
    """Close this thread's connection; the next call opens a new one."""
    connection, _line.connection, _line.unread = _line.connection, None, 0
    if connection is not None:
        connection.disconnect()  # type: ignore[no-untyped-call]


def _exchange(command: bytes) -> object:
    connection = _connection()
    connection.send_packed_command([command], check_health=False)  # type: ignore[no-untyped-call]
    while _line.unread:
        _line.unread -= 1
        connection.read_response()
    return connection.read_response()


def _rest(error: Exception) -> None:
    """Don't ask the cache for REST seconds, and log a warning from time to time."""
    global _away_until, _said_at  # noqa: PLW0603 - the cache's state, shared by all threads
    forget()
    now = time.monotonic()
    _away_until = now + REST
    if now - _said_at >= SAID_EVERY:
        _said_at = now
        log.warning("The cache does not answer (%s). Per-minute limits are not enforced.", error)


def pack(*parts: bytes) -> bytes:
    """The parts of a command in the wire format (RESP), without the leading count."""
    return b"".join([b"$%d\r\n%b\r\n" % (len(part), part) for part in parts])
