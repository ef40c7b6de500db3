"""Deleting rows of a table by a mutation, however long ClickHouse takes to rewrite its parts."""

from __future__ import annotations

import time

from django.conf import settings

from tenants.warehouse import client
from tenants.warehouse.errors import StatementFailed, WarehouseError, WarehouseUnreachable, clean
from tenants.warehouse.quoting import identifier, string

#: ClickHouse's codes for a mutation that it goes on with, while nobody waits for it any more.
_GOES_ON = {159, 341}  # TIMEOUT_EXCEEDED, UNFINISHED
_POLL = 1.0
#: Seconds after which nobody waits any longer: six hours. Terabytes are rewritten in less, and one
#: that is not done by then waits for what somebody must look at, such as a replica that is away.
PATIENCE = 6 * 3600.0
_NOW = "SELECT toUnixTimestamp(now()) AS now"


class StillDeleting(WarehouseError):
    """A mutation has not ended within PATIENCE; ClickHouse goes on with it."""

    def __init__(self, database: str, table: str, seconds: float) -> None:
        super().__init__(
            f"ClickHouse has been deleting rows of {database}.{table} for {seconds / 3600:,.1f} "
            "hours, and goes on. See in system.mutations and system.replicas what it waits for "
            "(merges that are stopped, a replica that is away, a full disk), mend that or end it "
            "with KILL MUTATION, and then do this again."
        )


def delete_rows(database: str, table: str, condition: str) -> None:
    """Rewrite the parts that hold such rows; returns when every replica has done so.

    Where an answer takes longer than a connection waits for it, ClickHouse is asked how far it is.
    Raises WarehouseError, after PATIENCE StillDeleting. The deletion may go on after it, and is
    safe to repeat.
    """
    cluster = settings.CLICKHOUSE_CLUSTER
    on = f" ON CLUSTER {identifier(cluster)}" if cluster else ""
    statement = (
        f"ALTER TABLE {identifier(database)}.{identifier(table)}{on} DELETE WHERE {condition}"
    )
    began = int(client.rows(_NOW)[0]["now"])
    try:
        client.execute([statement], {"mutations_sync": 2, "max_execution_time": 0})
    except WarehouseError as error:
        if not _may_go_on(error):
            raise
        _wait(database, table, began, error)


def _may_go_on(error: WarehouseError) -> bool:
    is_timeout = isinstance(error, StatementFailed) and error.code in _GOES_ON
    return is_timeout or isinstance(error, WarehouseUnreachable)


def _wait(database: str, table: str, began: int, error: WarehouseError) -> None:
    """Until the mutations since then are done.

    Raises ``error`` where none was accepted, and StillDeleting where one does not end.
    """
    started = time.monotonic()
    while True:
        found = _since(database, table, began)
        if not found:
            raise error
        under_way = [one for one in found if not one["is_done"]]
        if not under_way:
            return
        if reasons := [str(one["reason"]) for one in under_way if one["reason"]]:
            raise StatementFailed(*clean(reasons[0])) from error
        waited = time.monotonic() - started
        if waited > PATIENCE:
            raise StillDeleting(database, table, waited) from error
        time.sleep(_POLL)


def _since(database: str, table: str, began: int) -> list[dict[str, object]]:
    cluster = settings.CLICKHOUSE_CLUSTER
    of_all = "system.mutations"
    if cluster:
        of_all = f"clusterAllReplicas({string(cluster)}, system.mutations)"
    return client.rows(
        f"SELECT is_done, latest_fail_reason AS reason FROM {of_all} "  # noqa: S608 - quoted
        "WHERE database = {database:String} AND table = {table:String} "
        "AND toUnixTimestamp(create_time) >= {began:UInt32}",
        {"database": database, "table": table, "began": began},
    )
