"""Deletes rows by a mutation, however long ClickHouse takes to rewrite the table's parts."""

from __future__ import annotations

import time

from django.conf import settings

from tenants.warehouse import client
from tenants.warehouse.errors import StatementFailed, WarehouseError, WarehouseUnreachable, clean
from tenants.warehouse.quoting import identifier, string

#: ClickHouse's error codes for a mutation that continues in the background.
_GOES_ON = {159, 341}  # TIMEOUT_EXCEEDED, UNFINISHED
_POLL = 1.0
#: A condition may name thousands of messages, and then exceeds ClickHouse's default size.
_OPTIONS = {"mutations_sync": 2, "max_execution_time": 0, "max_query_size": 64 << 20}
#: Seconds to wait at most: six hours. Terabytes are rewritten in less. A mutation that takes longer
#: waits for something that needs a person, such as a replica that is down.
PATIENCE = 6 * 3600.0
_NOW = "SELECT toUnixTimestamp(now()) AS now"


class StillDeleting(WarehouseError):
    """A mutation has not finished within PATIENCE; ClickHouse continues it."""

    def __init__(self, database: str, table: str, seconds: float) -> None:
        super().__init__(
            f"ClickHouse has been deleting rows of {database}.{table} for {seconds / 3600:,.1f} "
            "hours and has not finished. Find what it waits for in system.mutations and "
            "system.replicas (stopped merges, a replica that is down, a full disk). Fix that, or "
            "end the mutation with KILL MUTATION. Then run this again."
        )


def delete_rows(database: str, table: str, condition: str) -> None:
    """Rewrite the parts that hold matching rows; returns when every replica is done.

    If the connection times out, it polls ClickHouse for the mutation's progress. Raises
    WarehouseError, or StillDeleting after PATIENCE seconds. The deletion may continue after an
    error, and is safe to repeat.
    """
    cluster = settings.CLICKHOUSE_CLUSTER
    on = f" ON CLUSTER {identifier(cluster)}" if cluster else ""
    statement = (
        f"ALTER TABLE {identifier(database)}.{identifier(table)}{on} DELETE WHERE {condition}"
    )
    began = int(client.rows(_NOW)[0]["now"])
    try:
        client.execute([statement], _OPTIONS)
    except WarehouseError as error:
        if not _may_go_on(error):
            raise
        _wait(database, table, began, error)


def _may_go_on(error: WarehouseError) -> bool:
    is_timeout = isinstance(error, StatementFailed) and error.code in _GOES_ON
    return is_timeout or isinstance(error, WarehouseUnreachable)


def _wait(database: str, table: str, began: int, error: WarehouseError) -> None:
    """Wait until the mutations since ``began`` are done.

    Raises ``error`` if ClickHouse accepted none, and StillDeleting if one does not finish.
    """
    started = time.monotonic()
    while True:
        mutations = _since(database, table, began)
        if not mutations:
            raise error
        under_way = [mutation for mutation in mutations if not mutation["is_done"]]
        if not under_way:
            return
        if reasons := [str(mutation["reason"]) for mutation in under_way if mutation["reason"]]:
            raise StatementFailed(*clean(reasons[0])) from error
        waited = time.monotonic() - started
        if waited > PATIENCE:
            raise StillDeleting(database, table, waited) from error
        time.sleep(_POLL)


def _since(database: str, table: str, began: int) -> list[dict[str, object]]:
    cluster = settings.CLICKHOUSE_CLUSTER
    mutations = "system.mutations"
    if cluster:
        mutations = f"clusterAllReplicas({string(cluster)}, system.mutations)"
    return client.rows(
        f"SELECT is_done, latest_fail_reason AS reason FROM {mutations} "  # noqa: S608 - quoted
        "WHERE database = {database:String} AND table = {table:String} "
        "AND toUnixTimestamp(create_time) >= {began:UInt32}",
        {"database": database, "table": table, "began": began},
    )
