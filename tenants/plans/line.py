"""One connection to the cache a thread, for calls whose every microsecond is paid by each request.

redis-py's own connection, without its client around it, which costs such a call 67 µs of CPU more,
an eighth of what it takes in all (docs/contributing.md has how that was measured).
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

#: Seconds that a call waits for the cache at the most; a request waits no longer.
TIMEOUT = 0.5
#: Seconds for which a cache that did not answer is not asked again.
REST = 1.0
#: Seconds between two lines in the log that say so.
SAID_EVERY = 60.0


class CacheAway(Exception):
    """The cache does not answer."""


class _Line(threading.local):
    """``unread``: answers on their way that nobody waits for."""

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
    """Send a command as it goes over the line, and wait for its answer. Raises CacheAway.

    On a connection that was used before it is sent once more where that turns out to be closed.
    NoScriptError is raised as it is.
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
    """Send commands and don't wait; their answers are read before that of the next one."""
    if time.monotonic() < _away_until:
        return
    try:
        joined = b"".join(commands)
        _connection().send_packed_command([joined], check_health=False)  # type: ignore[no-untyped-call]
        _line.unread += len(commands)
    except (OSError, RedisError) as error:
        _rest(error)


def forget() -> None:
    """Connect anew at this thread's next call."""
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
    """Leave the cache in peace for a moment, and say so now and then."""
    global _away_until, _said_at  # noqa: PLW0603 - what is known of the cache, for all threads
    forget()
    now = time.monotonic()
    _away_until = now + REST
    if now - _said_at >= SAID_EVERY:
        _said_at = now
        log.warning("The cache does not answer (%s): limits a minute are not enforced.", error)


def pack(*parts: bytes) -> bytes:
    """A command, or the end of one, as it goes over the line (RESP)."""
    return b"".join([b"$%d\r\n%b\r\n" % (len(part), part) for part in parts])
