"""The DDL of a warehouse: database, user, grant and limits (the first wall of the isolation).

Sources: clickhouse.com/docs/sql-reference/statements/create/user, …/create/settings-profile,
…/alter/user, …/grant, …/create/quota, and …/operations/settings/permissions-for-queries for
``readonly``.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tenants.warehouse.quoting import identifier, string

_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}\Z")
#: The most days that rows can be kept. ClickHouse's DateTime ends in 2106: a TTL beyond that wraps
#: around to 1970 and deletes every row at once.
MOST_DAYS = 18_250
#: The setting for a key's row filters. A call by the tenant's user may set it; a query can't,
#: because the SQL guard allows no SETTINGS clause with it.
ROW_FILTERS = "additional_table_filters"
_SWITCH = ("0", "1")
_MODES = ("", "ALL", "DISTINCT")
#: The settings that a query may set, with their values. All change what a query means; none changes
#: the effect of a row filter's condition or the resources that ClickHouse may use.
QUERY_SETTINGS: Mapping[str, tuple[str, ...]] = {
    "aggregate_functions_null_for_empty": _SWITCH,
    "any_join_distinct_right_table_keys": _SWITCH,
    "asterisk_include_alias_columns": _SWITCH,
    "asterisk_include_materialized_columns": _SWITCH,
    "count_distinct_implementation": (
        "uniq",
        "uniqCombined",
        "uniqCombined64",
        "uniqExact",
        "uniqHLL12",
    ),
    "enable_positional_arguments": _SWITCH,
    "except_default_mode": _MODES,
    "final": _SWITCH,
    "group_by_use_nulls": _SWITCH,
    "intersect_default_mode": _MODES,
    "join_default_strictness": ("", "ALL", "ANY"),
    "join_use_nulls": _SWITCH,
    "prefer_column_name_to_alias": _SWITCH,
    "totals_mode": (
        "after_having_auto",
        "after_having_exclusive",
        "after_having_inclusive",
        "before_having",
    ),
    "union_default_mode": _MODES,
}

#: Whether JSON quotes numbers that many readers would round or don't support. A call may choose;
#: these settings don't affect what it may read.
QUOTING = (
    "output_format_json_quote_64bit_integers",
    "output_format_json_quote_decimals",
    "output_format_json_quote_denormals",
)


@dataclass(frozen=True)
class QueryLimits:
    """What one query may use: seconds, bytes, rows, threads. ``read_bytes`` of 0 means no limit."""

    seconds: int
    memory_bytes: int
    read_rows: int
    result_rows: int
    result_bytes: int
    threads: int
    read_bytes: int = 0
    queries_a_minute: int = 6_000

    def settings(self) -> dict[str, int | str]:
        """ClickHouse settings of a tenant's queries; with ``readonly = 1`` no query changes any."""
        return {
            "readonly": 1,
            "max_execution_time": self.seconds,
            "max_memory_usage": self.memory_bytes,
            "max_rows_to_read": self.read_rows,
            **({"max_bytes_to_read": self.read_bytes} if self.read_bytes else {}),
            "max_result_rows": self.result_rows,
            "max_result_bytes": self.result_bytes,
            "result_overflow_mode": "throw",
            "max_threads": self.threads,
            "enable_http_compression": 1,
            "cancel_http_readonly_queries_on_client_close": 1,
        }

    def applied(self) -> dict[str, Any]:
        """The settings of the user's profile that depend on limits or on Millrace's version.

        If a warehouse has other values stored, its profile is created again.
        """
        quoting = dict.fromkeys(QUOTING, 0)
        return {**self.settings(), **quoting, "may_bring": sorted(QUERY_SETTINGS)}

    def profile(self) -> tuple[Assignment, ...]:
        """The settings profile of a tenant's user: all of ``settings()``, each with a constraint.

        A constraint holds even if something else lifts ``readonly``. ClickHouse takes 0 for
        unlimited, hence the minimum of 1.
        """
        own: dict[str, int | str] = {"allow_ddl": 0, "allow_introspection_functions": 0}
        fixed = (
            Assignment(name, value, bounded=name.startswith("max_") and value != 0)
            for name, value in (self.settings() | own).items()
        )
        quoting = (Assignment(name, 0, changeable=True) for name in QUOTING)
        free = (Assignment(name, None, changeable=True) for name in (ROW_FILTERS, *QUERY_SETTINGS))
        return (*fixed, *quoting, *free)


@dataclass(frozen=True)
class Assignment:
    """One setting of a profile, which no query can change.

    ``bounded`` adds a constraint from 1 to its value. ``changeable`` lets a call set another value,
    even under ``readonly``.
    """

    name: str
    value: int | str | None
    bounded: bool = False
    changeable: bool = False

    @property
    def sql(self) -> str:
        value = string(self.value) if isinstance(self.value, str) else self.value
        if self.changeable:
            given = "" if self.value is None else f" = {value}"
            return f"{self.name}{given} CHANGEABLE_IN_READONLY"
        bounds = f" MIN 1 MAX {value}" if self.bounded else ""
        return f"{self.name} = {value}{bounds} READONLY"


def own_identifier(name: str) -> str:
    """``name`` quoted; raises ValueError if it is not a name that Millrace gives."""
    if not _NAME.match(name):
        msg = f"{name!r} is not a valid name of a warehouse."
        raise ValueError(msg)
    return identifier(name)


def grants(database: str) -> tuple[str, ...]:
    """The grants of a tenant's user: read its own database. No SOURCES, no system tables."""
    return (f"SELECT ON {own_identifier(database)}.*",)


def create(
    database: str,
    username: str,
    password: str,
    limits: QueryLimits,
    *,
    cluster: str = "",
    quota: bool = True,
) -> list[str]:
    """Statements that create a tenant's database and user or bring them up to date.

    Safe to repeat. The user gets its grant last, when all limits hold.
    """
    on = _on(cluster)
    db, user = own_identifier(database), own_identifier(username)
    identified = _identified(password)
    settings = ", ".join(assignment.sql for assignment in limits.profile())
    statements = [
        f"CREATE DATABASE IF NOT EXISTS {db}{on}",
        f"CREATE USER IF NOT EXISTS {user}{on} {identified} DEFAULT DATABASE {db}",
        f"ALTER USER {user}{on} {identified}",
        f"CREATE SETTINGS PROFILE OR REPLACE {user}{on} SETTINGS {settings}",
        f"ALTER USER {user}{on} SETTINGS PROFILE {user}",
    ]
    if quota:
        statements.append(
            f"CREATE QUOTA OR REPLACE {user}{on} KEYED BY user_name FOR INTERVAL 1 minute "
            f"MAX queries = {limits.queries_a_minute} TO {user}"
        )
    statements += [f"GRANT{on} {grant} TO {user}" for grant in grants(database)]
    return statements


def add_password(username: str, password: str, *, cluster: str = "") -> list[str]:
    """Add a second password to a user (ClickHouse 24.9); ``create`` leaves only its own."""
    return [f"ALTER USER {own_identifier(username)}{_on(cluster)} ADD {_identified(password)}"]


def drop(database: str, username: str, *, cluster: str = "", quota: bool = True) -> list[str]:
    """Statements that drop a tenant's database, its contents and its user. Safe to repeat."""
    on = _on(cluster)
    db, user = own_identifier(database), own_identifier(username)
    statements = [
        f"DROP USER IF EXISTS {user}{on}",
        f"DROP SETTINGS PROFILE IF EXISTS {user}{on}",
        f"DROP DATABASE IF EXISTS {db}{on} SYNC",
    ]
    if quota:
        statements.append(f"DROP QUOTA IF EXISTS {user}{on}")
    return statements


def _on(cluster: str) -> str:
    return f" ON CLUSTER {own_identifier(cluster)}" if cluster else ""


def _identified(password: str) -> str:
    return f"IDENTIFIED WITH sha256_hash BY {string(hashlib.sha256(password.encode()).hexdigest())}"
