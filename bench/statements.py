"""Counts the statements that Postgres runs, with its own ``pg_stat_statements``."""

from __future__ import annotations

from pathlib import Path

import psycopg
from django.db import connections
from psycopg import sql

from millrace.embedded import installation_secrets, ports, service_urls
from millrace.embedded.stack import Stack

_EXTENSION = "pg_stat_statements"


class Counter:
    """Counts statements: ``counter = Counter(stack, home); counter.reset(); …; counter.total()``.

    Creating it restarts Postgres.
    """

    def __init__(self, stack: Stack, home: Path) -> None:
        self._home = home
        with self._connect() as database:
            database.execute(f"ALTER SYSTEM SET shared_preload_libraries = '{_EXTENSION}'")
        connections.close_all()
        stack.restart("postgres")
        with self._connect() as database:
            database.execute(
                sql.SQL("CREATE EXTENSION IF NOT EXISTS {}").format(sql.Identifier(_EXTENSION))
            )

    def reset(self) -> None:
        """Count from now on."""
        with self._connect() as database:
            database.execute("SELECT pg_stat_statements_reset()")

    def most(self, limit: int) -> list[tuple[int, float, str]]:
        """The statements that took longest in total: calls, ms per call, the first characters."""
        with self._connect() as database:
            return database.execute(
                "SELECT calls, mean_exec_time, left(regexp_replace(query, '\\s+', ' ', 'g'), 90) "
                f"FROM {_EXTENSION} ORDER BY total_exec_time DESC LIMIT %s",
                [limit],
            ).fetchall()

    def total(self) -> int:
        """How many statements ran since ``reset``, including BEGIN, COMMIT and the like."""
        with self._connect() as database:
            row = database.execute(f"SELECT sum(calls) FROM {_EXTENSION}").fetchone()
        return int(row[0]) if row else 0

    def _connect(self) -> psycopg.Connection[tuple[object, ...]]:
        return psycopg.connect(
            host=service_urls.HOST,
            port=ports.read(self._home)["postgres"],
            user="postgres",
            password=installation_secrets.read(self._home)["postgres_superuser"],
            dbname="postgres",
            autocommit=True,
        )
