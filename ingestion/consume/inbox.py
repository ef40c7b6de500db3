"""The way into ClickHouse: one Arrow block a batch, and questions about what is there."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import cast

import pyarrow as pa

from ingestion.consume.lane import Cut
from ingestion.ddl import names
from ingestion.ddl.spec import INSERT_SETTINGS
from ingestion.models import Table
from tenants.warehouse import client
from tenants.warehouse.errors import translated

#: Days for which ids of messages that a queue delivers again are looked for.
REMEMBERED_DAYS = 2


@dataclass(frozen=True, slots=True)
class Address:
    """Where a table's inbox, the table itself and its quarantine stand, quoted for SQL."""

    inbox: str
    table: str
    quarantine: str


def address(table: Table) -> Address:
    """Of a table whose tenant has a warehouse."""
    database = names.quoted(table.tenant.warehouse.database)
    return Address(
        inbox=f"{database}.{names.quoted(names.inbox(table.name))}",
        table=f"{database}.{names.quoted(table.name)}",
        quarantine=f"{database}.{names.quoted(names.quarantine(table.name))}",
    )


def insert(to: Address, source_id: int, cut: Cut, token: uuid.UUID | None = None) -> None:
    """Insert a batch; raises WarehouseError, and then nobody knows whether it landed.

    ``token`` defaults to the batch's own. The engine drops a block whose token it has seen.
    """
    settings = INSERT_SETTINGS | {"insert_deduplication_token": str(token or cut.intent.token)}
    # Any buffer is sent as it is; the annotation knows only bytes.
    body = cast("bytes", block(source_id, cut))
    with translated():
        client.admin().raw_insert(to.inbox, insert_block=body, settings=settings, fmt="ArrowStream")


def block(source_id: int, cut: Cut) -> memoryview:
    """The batch as an Arrow stream of one record batch, with the columns of the inbox.

    A view, and not bytes: clickhouse-connect would copy those once more behind the statement.
    """
    rows = cut.rows.combine_chunks()
    whole = {
        "_source": pa.scalar(source_id, pa.uint64()),
        "_partition": pa.scalar(cut.intent.lease.number, pa.uint32()),
        "_batch": pa.scalar(cut.intent.token.bytes, pa.binary(16)),
    }
    for name, value in whole.items():
        rows = rows.append_column(name, pa.repeat(value, rows.num_rows))
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema) as writer:
        writer.write_table(rows)
    return memoryview(sink.getvalue())


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


def held(of: Address, batch: uuid.UUID) -> list[int]:
    """The offsets that the table and the quarantine hold of a batch, once a row."""
    sql = _everywhere(of, "_offset", "_batch = {batch:UUID}")
    return [row["_offset"] for row in client.rows(sql, {"batch": batch})]


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
