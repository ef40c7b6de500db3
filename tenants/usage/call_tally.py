"""Counts calls in memory and writes the counts to Postgres, exactly once.

Counting is an addition in memory. Once a second, one statement writes all counts to Postgres. It
carries the number of the flush. If the outcome of a flush is unknown, it is repeated with the same
number, and changes nothing if it had already arrived. A process that is killed loses its last
second.
"""

from __future__ import annotations

import logging
import os
import threading
import time
import uuid
from datetime import date
from multiprocessing.util import Finalize
from typing import Any

from django.db import Error, connection

log = logging.getLogger(__name__)

#: Seconds between two flushes.
EVERY = 1.0
_EPOCH = date(1970, 1, 1).toordinal()
FIELDS = ("requests", "errors", "queries", "rows_read", "bytes_read", "events", "bytes")

_WRITE = """
WITH fresh AS (
    INSERT INTO tenants_usageflush AS f (process, number, at)
    VALUES (%(process)s, %(number)s, statement_timestamp())
    ON CONFLICT (process) DO UPDATE SET number = excluded.number, at = excluded.at
    WHERE f.number < excluded.number
    RETURNING 1
)
INSERT INTO tenants_usage AS u
    (tenant_id, day, key_id, requests, errors, queries, rows_read, bytes_read, events, bytes)
SELECT c.tenant_id, c.day, c.key_id, c.requests, c.errors, c.queries, c.rows_read, c.bytes_read,
       c.events, c.bytes
FROM unnest(%(tenants)s::bigint[], %(days)s::date[], %(keys)s::bigint[], %(requests)s::bigint[],
            %(errors)s::bigint[], %(queries)s::bigint[], %(rows_read)s::bigint[],
            %(bytes_read)s::bigint[], %(events)s::bigint[], %(bytes)s::bigint[])
    AS c(tenant_id, day, key_id, requests, errors, queries, rows_read, bytes_read, events, bytes)
JOIN tenants_tenant t ON t.id = c.tenant_id
WHERE EXISTS (SELECT FROM fresh)
ORDER BY c.tenant_id, c.day, c.key_id
ON CONFLICT (tenant_id, day, key_id) DO UPDATE
SET requests = u.requests + excluded.requests, errors = u.errors + excluded.errors,
    queries = u.queries + excluded.queries, rows_read = u.rows_read + excluded.rows_read,
    bytes_read = u.bytes_read + excluded.bytes_read, events = u.events + excluded.events,
    bytes = u.bytes + excluded.bytes
"""

#: By tenant id, day (since 1970) and key id: counts in the order of FIELDS.
_Counts = dict[tuple[int, int, int | None], list[int]]


class Tally:
    """The counts of one process. ``count`` and ``flush`` are safe in threads."""

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Start from zero, as a new process does; also called in a process that was just forked."""
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._counts: _Counts = {}
        self._process = uuid.uuid4()
        self._number = 0
        self._left: _Counts | None = None

    def count(
        self, tenant_id: int, key_id: int | None, added: tuple[int, int, int, int, int, int, int]
    ) -> None:
        """Add to today's counts of a key, in the order of FIELDS."""
        key = (tenant_id, int(time.time()) // 86_400, key_id)
        with self._lock:
            counts = self._counts.get(key)
            if counts is None:
                self._counts[key] = list(added)
                return
            for place, number in enumerate(added):
                if number:
                    counts[place] += number

    def flush(self) -> None:
        """Write the counts to Postgres. Raises django.db.Error, and keeps them then."""
        with self._writing:
            if self._left is not None:
                self._write(self._left)
            with self._lock:
                self._left, self._counts = self._counts, {}
            self._number += 1
            self._write(self._left)

    def _write(self, counts: _Counts) -> None:
        if counts:
            with connection.cursor() as cursor:
                cursor.execute(_WRITE, self._parameters(counts))
        self._left = None

    def _parameters(self, counts: _Counts) -> dict[str, Any]:
        columns = zip(*counts.values(), strict=True)
        return {
            "process": self._process,
            "number": self._number,
            "tenants": [key[0] for key in counts],
            "days": [date.fromordinal(_EPOCH + key[1]) for key in counts],
            "keys": [key[2] for key in counts],
            **{name: list(column) for name, column in zip(FIELDS, columns, strict=True)},
        }


tally = Tally()
count = tally.count
os.register_at_fork(after_in_child=tally.begin)
_started_in = 0


def start() -> None:
    """Flush every second and at the end of the process. Web processes call it when they start."""
    global _started_in  # noqa: PLW0603 - a forked process does not inherit the thread
    if _started_in == os.getpid():
        return
    _started_in = os.getpid()
    threading.Thread(target=_flush_forever, name="usage", daemon=True).start()
    # A server's worker is a multiprocessing child, where atexit functions may not run.
    Finalize(None, _flush, exitpriority=1)


def _flush_forever() -> None:
    while True:
        time.sleep(EVERY)
        _flush()


def _flush() -> None:
    try:
        connection.close_if_unusable_or_obsolete()
        tally.flush()
    except Error as error:
        log.warning("Usage could not be written to Postgres and is kept for a retry: %s", error)
