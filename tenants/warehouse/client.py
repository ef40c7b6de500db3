"""The platform's own ClickHouse client, one per process, shared by its threads."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any
from urllib.parse import unquote, urlsplit

import clickhouse_connect
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.httputil import get_pool_manager
from django.conf import settings

from tenants.warehouse.errors import translated

#: Connections that one process keeps open; threads beyond that open and close their own.
POOL_SIZE = 32
#: A query can't change these settings, even with the rights of the platform's user.
READ_ONLY = {"readonly": 1, "max_execution_time": 10}


@lru_cache(maxsize=2)
def _client(dsn: str, pid: int) -> Client:
    with translated():
        return clickhouse_connect.get_client(
            dsn=dsn,
            # Threads share the client, and ClickHouse refuses a second query in one session.
            autogenerate_session_id=False,
            pool_mgr=get_pool_manager(maxsize=POOL_SIZE, num_pools=4),
            compress=False,
            query_limit=0,
        )


def admin() -> Client:
    """The client with all rights; raises WarehouseUnreachable if ClickHouse does not answer."""
    return _client(settings.CLICKHOUSE_URL, os.getpid())


def credentials() -> tuple[str, str]:
    """The name and password of the user with all rights."""
    address = urlsplit(settings.CLICKHOUSE_URL)
    return unquote(address.username or "default"), unquote(address.password or "")


def forget() -> None:
    """Drop the client; the next call connects again, for example after a change of address."""
    _client.cache_clear()


def execute(statements: Sequence[str], options: Mapping[str, Any] | None = None) -> None:
    """Run statements that return nothing, in order; stops at the first that fails."""
    with translated():
        for statement in statements:
            admin().command(statement, settings=dict(options or {}))


def rows(
    sql: str,
    parameters: Mapping[str, Any] | None = None,
    options: Mapping[str, Any] | None = None,
) -> list[dict[str, Any]]:
    """The rows of a query as dicts. ``parameters`` are bound by the server (``{name:Type}``)."""
    with translated():
        result = admin().query(sql, parameters=dict(parameters or {}), settings=dict(options or {}))
    return list(result.named_results())


def read_only_rows(sql: str, parameters: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
    """The rows of a query with SQL from others: it can change nothing and has a time limit."""
    return rows(sql, parameters, READ_ONLY)
