"""The query ids of a batch's inserts, which show whether one of them still runs in ClickHouse.

An insert outlives its sender. When a worker was killed, or its request timed out, ClickHouse may
store the rows a minute later, after it has waited for a slot, a lock or a disk. The rows that the
table has of a batch are final only when none of its inserts runs any more.
"""

from __future__ import annotations

import logging
import time
import uuid
from enum import StrEnum

from django.conf import settings

from tenants.warehouse import client
from tenants.warehouse.errors import STILL_AT_WORK, RunningAlready, translated
from tenants.warehouse.quoting import string

log = logging.getLogger(__name__)

#: Seconds to wait for a running insert; after that, its source is tried again later. Short, because
#: the slice opens other sources after this one.
PATIENCE = 3.0
#: If an operator's profile set this to 1, the probe would cancel the insert that it asks about.
_ASKS = {"replace_running_query": 0}
_PAUSE = 0.1


class Target(StrEnum):
    """Where an insert of a batch goes.

    Each target has its own query id. A batch's inserts run one after another, but ClickHouse may
    keep a query id for a moment after it has answered.
    """

    INBOX = "inbox"
    TABLE = "table"
    QUARANTINE = "quarantine"
    FILTERED = "filtered"


def query_id(batch: uuid.UUID | str, target: Target) -> str:
    """The query id of a batch's insert into one target."""
    return f"{batch}-{target}"


def await_inserts(batch: uuid.UUID) -> None:
    """Wait until no insert of the batch runs in ClickHouse.

    Raises RunningAlready if one still runs after PATIENCE seconds, and WarehouseError.
    """
    ids = [query_id(batch, target) for target in Target]
    end = time.monotonic() + PATIENCE
    while _is_any_running(ids):
        if time.monotonic() > end:
            log.warning("An insert of batch %s still runs: query id %s-…", batch, batch)
            raise RunningAlready(STILL_AT_WORK)
        time.sleep(_PAUSE)


def _is_any_running(ids: list[str]) -> bool:
    if settings.CLICKHOUSE_CLUSTER:
        cluster = string(settings.CLICKHOUSE_CLUSTER)
        sql = (
            f"SELECT count() AS running FROM clusterAllReplicas({cluster}, system.processes) "  # noqa: S608
            "WHERE query_id IN {ids:Array(String)}"
        )
        return bool(client.rows(sql, {"ids": ids})[0]["running"])
    return any(_is_running(query_id) for query_id in ids)


def _is_running(query_id: str) -> bool:
    """Whether ClickHouse refuses a query with this id, because one runs or waits for its turn.

    A server's system.processes would show it too. The embedded engine has other ids there.
    """
    try:
        with translated():
            client.admin().raw_query("SELECT 1", settings=_ASKS | {"query_id": query_id})
    except RunningAlready:
        return True
    return False
