"""Cheaper handlers for Django's request_started and request_finished signals.

At both ends of a request Django checks all connections to databases and caches. That takes an
eighth of a small call's time and finds nothing to do: connections to Postgres live for
CONN_MAX_AGE seconds, and the cache's client has nothing to close. Here each thread checks its
connections twice a second, and after an error on one of them. Resetting the URL configuration is
dropped as well, because no request changes it.
"""

from __future__ import annotations

import threading
import time

from django.conf import settings
from django.core.cache import close_caches
from django.core.handlers.base import reset_urlconf
from django.core.signals import request_finished, request_started
from django.db import close_old_connections, connections, reset_queries
from django.db.backends.base.base import BaseDatabaseWrapper

#: Seconds between two checks of a thread's connections.
EVERY = 0.5


class _Thread(threading.local):
    looked_at = -EVERY
    connections: tuple[BaseDatabaseWrapper, ...] = ()


_thread = _Thread()


def lighten() -> None:
    """Replace the handlers. A web process calls this once, after Django's set-up."""
    request_finished.disconnect(close_caches)
    request_finished.disconnect(reset_urlconf)
    if not settings.DEBUG:
        request_started.disconnect(reset_queries)
    # With CONN_MAX_AGE 0 Django must close a connection after every request, so its handlers stay.
    if all(database["CONN_MAX_AGE"] != 0 for database in settings.DATABASES.values()):
        request_started.disconnect(close_old_connections)
        request_finished.disconnect(close_old_connections)
        request_started.connect(_look)


def _look(**_: object) -> None:
    now = time.monotonic()
    mine = _thread.connections
    failed = any(connection.errors_occurred for connection in mine)
    if mine and now - _thread.looked_at < EVERY and not failed:
        return
    close_old_connections()
    _thread.looked_at = now
    _thread.connections = tuple(connections.all(initialized_only=True))
