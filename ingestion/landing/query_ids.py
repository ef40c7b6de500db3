"""The query ids of a batch's inserts, by which ClickHouse is asked whether one still runs.

An insert outlives whoever sent it: of a worker that was killed or whose request timed out, the
engine may store the rows a minute later, where it had to wait for a slot, a lock or a disk. What
the table has of a batch is final only once none of them runs any more.
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

#: Seconds for which an insert is waited for; then its source is tried again later. Short, since the
#: slice opens other sources after this one.
PATIENCE = 3.0
#: An operator's profile may set it; then the question would end the insert that it asks for.
_ASKS = {"replace_running_query": 0}
_PAUSE = 0.1


class Target(StrEnum):
    """Where an insert of a batch goes. They come one after another, but a query's id may still be
    taken for a moment after its answer has come.
    """

    INBOX = "inbox"
    TABLE = "table"
    QUARANTINE = "quarantine"


def query_id(batch: uuid.UUID | str, target: Target) -> str:
    """The id of a batch's insert into one place."""
    return f"{batch}-{target}"


def await_inserts(batch: uuid.UUID) -> None:
    """Wait until no insert of the batch runs in ClickHouse.

    Raises RunningAlready where one still does after PATIENCE, and WarehouseError.
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
    return any(_is_running(one) for one in ids)


def _is_running(query_id: str) -> bool:
    """An id is taken as long as its query runs, and be it that it waits for its turn.

    system.processes would tell of a server, but not of the embedded engine, which has other ids.
    """
    try:
        with translated():
            client.admin().raw_query("SELECT 1", settings=_ASKS | {"query_id": query_id})
    except RunningAlready:
        return True
    return False
