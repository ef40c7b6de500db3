"""What ClickHouse is asked about batches: which of their rows it has, and where."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Collection, Iterable
from datetime import datetime

from ingestion.batches.batch import Origin
from ingestion.landing.addresses import Address
from ingestion.models import Table
from tenants.warehouse import client

#: Days for which ids of messages that a queue delivers again are looked for.
REMEMBERED_DAYS = 2


def quarantined(of: Address, batches: Collection[uuid.UUID]) -> dict[uuid.UUID, int]:
    """Rows that each of the batches has in the quarantine; batches without any are left out."""
    sql = (
        f"SELECT _batch, count() AS rows FROM {of.quarantine} "  # noqa: S608 - names of ours
        "WHERE _batch IN {batches:Array(UUID)} GROUP BY _batch"
    )
    found = client.rows(sql, {"batches": list(batches)})
    return {row["_batch"]: row["rows"] for row in found}


def _everywhere(of: Address, columns: str, condition: str) -> str:
    return " UNION ALL ".join(
        f"SELECT {columns} FROM {place} WHERE {condition}"  # noqa: S608 - names of ours
        for place in (of.table, of.quarantine)
    )


def most_partitions(table: Table) -> int:
    """How many partitions the tenant's table with the most of them has, rollups among them.

    So many blocks one insert can leave in the window of each.
    """
    sql = (
        "SELECT max(partitions) AS most FROM (SELECT uniqExact(partition_id) AS partitions "
        "FROM system.parts WHERE active AND database = {database:String} GROUP BY table)"
    )
    return int(client.rows(sql, {"database": table.tenant.warehouse.database})[0]["most"])


def held(of: Address, batch: uuid.UUID) -> list[int]:
    """The offsets that the table and the quarantine hold of a batch, once a row."""
    sql = _everywhere(of, "_offset", "_batch = {batch:UUID}")
    return [row["_offset"] for row in client.rows(sql, {"batch": batch})]


def counts(of: Address, batches: Collection[uuid.UUID]) -> dict[uuid.UUID, int]:
    """Rows that the table and the quarantine hold of each batch; those without any are left out."""
    sql = _everywhere(of, "_batch, count() AS rows", "_batch IN {batches:Array(UUID)} GROUP BY 1")
    found: Counter[uuid.UUID] = Counter()
    for row in client.rows(sql, {"batches": list(batches)}):
        found[row["_batch"]] += row["rows"]
    return found


def held_between(of: Address, origin: Origin, start: int, end: int) -> list[int]:
    """The offsets in ``[start, end)`` that the table and the quarantine hold of any batch."""
    condition = (
        "_source = {source:UInt64} AND _partition = {number:UInt32} "
        "AND _offset >= {start:Int64} AND _offset < {end:Int64}"
    )
    bound = {"source": origin.source_id, "number": origin.number, "start": start, "end": end}
    sql = _everywhere(of, "_offset", condition + since(origin.began_at, bound))
    return [row["_offset"] for row in client.rows(sql, bound)]


def since(began_at: datetime | None, bound: dict[str, int]) -> str:
    """The condition that leaves out rows of a stream that is gone; what it needs goes to ``bound``.

    So that nobody pays for it whose stream was never made again, it is empty then.
    """
    if began_at is None:
        return ""
    bound["since"] = round(began_at.timestamp() * 1000)
    return " AND _ingested_at >= fromUnixTimestamp64Milli({since:Int64})"


def message_ids(of: Address, batches: Collection[uuid.UUID]) -> Iterable[str]:
    """The message ids that the table and the quarantine hold of the batches, once a row."""
    sql = _everywhere(of, "_message_id", "_batch IN {batches:Array(UUID)}")
    return (row["_message_id"] for row in client.rows(sql, {"batches": list(batches)}))


def known_ids(of: Address, source_id: int, ids: Collection[str]) -> set[str]:
    """Which of the message ids the table or the quarantine has from this source."""
    sql = _everywhere(
        of,
        "_message_id",
        "_source = {source:UInt64} AND _message_id IN {ids:Array(String)} "
        f"AND _ingested_at > now() - INTERVAL {REMEMBERED_DAYS} DAY",
    )
    return {row["_message_id"] for row in client.rows(sql, {"source": source_id, "ids": list(ids)})}
