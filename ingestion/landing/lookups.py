"""Looks up in ClickHouse which rows of a batch the table and the quarantine hold.

If filters leave messages out, the table with their origins is looked up like these two: a message
in it has landed, and is not inserted again.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Collection, Iterable
from datetime import datetime

from ingestion.batches.batch import Origin
from ingestion.landing.addresses import Address, place_of
from ingestion.models import Table
from tenants.warehouse import client

#: Days for which a message that a queue delivers again is recognised by its id.
REMEMBERED_DAYS = 2


def quarantined(address: Address, batches: Collection[uuid.UUID]) -> dict[uuid.UUID, int]:
    """How many rows of each batch the quarantine holds; batches without any are left out."""
    return _counted(address.quarantine, batches)


def filtered(address: Address, batches: Collection[uuid.UUID]) -> dict[uuid.UUID, int]:
    """How many messages of each batch filters have left out; batches without any are left out."""
    return _counted(address.filtered, batches) if address.filtered else {}


def _counted(place: str, batches: Collection[uuid.UUID]) -> dict[uuid.UUID, int]:
    sql = (
        f"SELECT _batch, count() AS rows FROM {place} "  # noqa: S608 - names of ours
        "WHERE _batch IN {batches:Array(UUID)} GROUP BY _batch"
    )
    rows = client.rows(sql, {"batches": list(batches)})
    return {row["_batch"]: row["rows"] for row in rows}


def _everywhere(address: Address, columns: str, condition: str) -> str:
    """A query of all tables; the quarantine first.

    A replay moves a message into another table before it leaves the quarantine. ClickHouse takes
    its snapshots in this order, so the message is in one of them at any moment.
    """
    places = (address.quarantine, address.table, address.filtered)
    return " UNION ALL ".join(
        f"SELECT {columns} FROM {place} WHERE {condition}"  # noqa: S608 - names of ours
        for place in filter(None, places)
    )


def most_partitions(table: Table) -> int:
    """The largest number of partitions that one of the tenant's tables has, rollups included.

    One insert can leave that many blocks in a table's deduplication window.
    """
    sql = (
        "SELECT max(partitions) AS most FROM (SELECT uniqExact(partition_id) AS partitions "
        "FROM system.parts WHERE active AND database = {database:String} GROUP BY table)"
    )
    return int(client.rows(sql, {"database": table.tenant.warehouse.database})[0]["most"])


def held(address: Address, batch: uuid.UUID) -> list[int]:
    """The offset of each row of a batch that the table and the quarantine hold."""
    sql = _everywhere(address, "_offset", "_batch = {batch:UUID}")
    return [row["_offset"] for row in client.rows(sql, {"batch": batch})]


def counts(address: Address, batches: Collection[uuid.UUID]) -> dict[uuid.UUID, int]:
    """How many rows of each batch the table and the quarantine hold; 0 is left out."""
    sql = _everywhere(
        address, "_batch, count() AS rows", "_batch IN {batches:Array(UUID)} GROUP BY 1"
    )
    totals: Counter[uuid.UUID] = Counter()
    for row in client.rows(sql, {"batches": list(batches)}):
        totals[row["_batch"]] += row["rows"]
    return totals


def held_between(address: Address, origin: Origin, start: int, end: int) -> list[int]:
    """The offset of each row in ``[start, end)`` that they hold, whichever batch it belongs to."""
    condition = (
        "_source = {source:UInt64} AND _partition = {number:UInt32} "
        "AND _offset >= {start:Int64} AND _offset < {end:Int64}"
    )
    bound = {"source": origin.source_id, "number": origin.number, "start": start, "end": end}
    sql = _everywhere(address, "_offset", condition + since(origin.began_at, bound))
    return [row["_offset"] for row in client.rows(sql, bound)]


def filtered_within(table: Table, source_id: int, offsets: range) -> int:
    """How many messages of an HTTP source's offsets its filter has left out."""
    place = place_of(table).filtered
    if not place:
        return 0
    sql = (
        f"SELECT uniqExact(_offset) AS messages FROM {place} WHERE _source = {{source:UInt64}} "  # noqa: S608 - names of ours
        "AND _partition = 0 AND _offset BETWEEN {first:Int64} AND {last:Int64}"
    )
    bound = {"source": source_id, "first": offsets[0], "last": offsets[-1]}
    return int(client.rows(sql, bound)[0]["messages"])


def since(began_at: datetime | None, bound: dict[str, int]) -> str:
    """A SQL condition that excludes rows of earlier incarnations; adds its parameter to ``bound``.

    Empty for a stream that was never made again, so that its queries cost no more.
    """
    if began_at is None:
        return ""
    bound["since"] = round(began_at.timestamp() * 1000)
    return " AND _ingested_at >= fromUnixTimestamp64Milli({since:Int64})"


def message_ids(address: Address, batches: Collection[uuid.UUID]) -> Iterable[str]:
    """The message id of each row of the batches that the table and the quarantine hold."""
    sql = _everywhere(address, "_message_id", "_batch IN {batches:Array(UUID)}")
    return (row["_message_id"] for row in client.rows(sql, {"batches": list(batches)}))


def known_ids(address: Address, source_id: int, ids: Collection[str]) -> set[str]:
    """Which of the message ids the table or the quarantine has from this source."""
    sql = _everywhere(
        address,
        "_message_id",
        "_source = {source:UInt64} AND _message_id IN {ids:Array(String)} "
        f"AND _ingested_at > now() - INTERVAL {REMEMBERED_DAYS} DAY",
    )
    return {row["_message_id"] for row in client.rows(sql, {"source": source_id, "ids": list(ids)})}
