"""Locks of Postgres that end with the process that has them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection


@contextmanager
def advisory_lock(key: str) -> Iterator[bool]:
    """Hold the lock of that name; gives False if another process has it."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(hashtextextended(%s, 0))", [key])
        has_it = bool(cursor.fetchone()[0])
        try:
            yield has_it
        finally:
            if has_it:
                cursor.execute("SELECT pg_advisory_unlock(hashtextextended(%s, 0))", [key])
