"""What Django does at both ends of a request, for less.

At each end it looks through all connections to databases and caches, which costs a small call an
eighth of its time and finds nothing: those to Postgres live for CONN_MAX_AGE seconds, the cache's
client has nothing to close. So here each thread looks twice a second, and after an error of its
connection. And the addresses of one request are those of the next.
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

#: Seconds between two looks of a thread.
EVERY = 0.5


class _Thread(threading.local):
    looked_at = -EVERY
    connections: tuple[BaseDatabaseWrapper, ...] = ()


_thread = _Thread()


def lighten() -> None:
    """For a web process, once, after Django's set-up."""
    request_finished.disconnect(close_caches)
    request_finished.disconnect(reset_urlconf)
    if not settings.DEBUG:
        request_started.disconnect(reset_queries)
    if all(one["CONN_MAX_AGE"] != 0 for one in settings.DATABASES.values()):
        request_started.disconnect(close_old_connections)
        request_finished.disconnect(close_old_connections)
        request_started.connect(_look)


def _look(**_: object) -> None:
    now = time.monotonic()
    mine = _thread.connections
    if mine and now - _thread.looked_at < EVERY and not any(one.errors_occurred for one in mine):
        return
    close_old_connections()
    _thread.looked_at = now
    _thread.connections = tuple(connections.all(initialized_only=True))
