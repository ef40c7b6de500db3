"""The DDL of a warehouse: database, user, grant and limits (wall one of the isolation).

Sources: clickhouse.com/docs/sql-reference/statements/create/user, …/grant, …/create/quota, and
…/operations/settings/permissions-for-queries for ``readonly``.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}\Z")


@dataclass(frozen=True)
class Limits:
    """What one query may use: seconds, bytes, rows, threads."""

    seconds: int
    memory_bytes: int
    read_rows: int
    result_rows: int
    result_bytes: int
    threads: int
    queries_a_minute: int = 6_000

    def settings(self) -> dict[str, int | str]:
        """ClickHouse settings of a tenant's user. ``readonly = 1`` lets no query change any."""
        return {
            "readonly": 1,
            "max_execution_time": self.seconds,
            "max_memory_usage": self.memory_bytes,
            "max_rows_to_read": self.read_rows,
            "max_result_rows": self.result_rows,
            "max_result_bytes": self.result_bytes,
            "result_overflow_mode": "throw",
            "max_threads": self.threads,
            "enable_http_compression": 1,
            "cancel_http_readonly_queries_on_client_close": 1,
        }


def identifier(name: str) -> str:
    """``name`` quoted; raises ValueError for what is not a name of ours."""
    if not _NAME.match(name):
        msg = f"{name!r} is not a name that a warehouse may have."
        raise ValueError(msg)
    return f"`{name}`"


def create(
    database: str,
    username: str,
    password: str,
    limits: Limits,
    *,
    cluster: str = "",
    quota: bool = True,
) -> list[str]:
    """Make, or bring up to date, a tenant's database and user. Safe to repeat."""
    on = f" ON CLUSTER {identifier(cluster)}" if cluster else ""
    db, user = identifier(database), identifier(username)
    digest = hashlib.sha256(password.encode()).hexdigest()
    assignments = ", ".join(
        f"{name} = {value!r}" if isinstance(value, str) else f"{name} = {value}"
        for name, value in limits.settings().items()
    )
    identified = f"IDENTIFIED WITH sha256_hash BY '{digest}'"
    statements = [
        f"CREATE DATABASE IF NOT EXISTS {db}{on}",
        f"CREATE USER IF NOT EXISTS {user}{on} {identified} DEFAULT DATABASE {db}",
        f"ALTER USER {user}{on} {identified}",
        f"ALTER USER {user}{on} SETTINGS {assignments}",
        f"GRANT{on} SELECT ON {db}.* TO {user}",
    ]
    if quota:
        statements.append(
            f"CREATE QUOTA OR REPLACE {user}{on} KEYED BY user_name FOR INTERVAL 1 minute "
            f"MAX queries = {limits.queries_a_minute} TO {user}"
        )
    return statements


def drop(database: str, username: str, *, cluster: str = "", quota: bool = True) -> list[str]:
    """Remove a tenant's database, all in it, and its user. Safe to repeat."""
    on = f" ON CLUSTER {identifier(cluster)}" if cluster else ""
    db, user = identifier(database), identifier(username)
    statements = [f"DROP USER IF EXISTS {user}{on}", f"DROP DATABASE IF EXISTS {db}{on} SYNC"]
    if quota:
        statements.append(f"DROP QUOTA IF EXISTS {user}{on}")
    return statements
