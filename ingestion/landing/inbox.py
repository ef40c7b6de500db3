"""Inserts batches into a table's inbox, each as one Arrow block.

The views behind the inbox type the messages of the usual form, and note the offsets of the others.
A query types those leftovers, which are inserted past the views before the batch counts as landed.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Mapping
from types import MappingProxyType
from typing import cast

import pyarrow as pa
import pyarrow.compute as pc

from ingestion.batches.batch import PendingBatch
from ingestion.ddl import rows as ddl
from ingestion.ddl.spec import INSERT_SETTINGS
from ingestion.landing import direct_insert, lookups
from ingestion.landing.addresses import Address
from ingestion.landing.fence import Fence
from ingestion.landing.query_ids import Target, query_id
from tenants.warehouse import client
from tenants.warehouse.errors import translated

#: The quarantine's reason for a message that was never typed, because workers died of it.
REASON = "crashed_worker"


def insert(to: Address, batch: PendingBatch, token: uuid.UUID | None = None) -> int:
    """Insert a batch; returns how many of its rows did not fit.

    Raises WarehouseError; the batch may then have landed wholly, in part or not at all. Raises
    Fenced if recovery has given the batch up.

    ``token`` defaults to the batch's own. ClickHouse drops a block whose token it has seen. If
    there is no inbox, the query types all messages, as it types the leftovers of the views. Pass
    only messages that the table lacks then: rows that came through the views had other tokens.
    """
    # A range of offsets may hold no message, as after Kafka's compaction.
    if not batch.rows.num_rows:
        return 0
    messages = table_of(batch)
    fence = to.fence_of(batch.intent)
    if not to.inbox:
        return _insert_rest(to, messages, batch.intent.token, batch.intent.token, fence)
    token = token or batch.intent.token
    options = INSERT_SETTINGS | {
        "insert_deduplication_token": str(token),
        "query_id": query_id(batch.intent.token, Target.INBOX),
    }
    _insert(to.inbox, ddl.messages_header(to.columns), messages, options, fence)
    rest = _leftovers(to, batch.intent.token, messages)
    return _insert_rest(to, rest, batch.intent.token, token, fence) if rest.num_rows else 0


def _insert(
    table: str,
    header: ddl.Header,
    messages: pa.Table,
    options: Mapping[str, object],
    fence: Fence | None,
) -> None:
    body = direct_insert.stream(messages)
    if fence is not None:
        fence.insert(table, header, bytes(body), "ArrowStream", options)
        return
    # clickhouse-connect sends any buffer as it is, but is annotated for bytes only.
    block, settings = cast("bytes", body), dict(options)
    with translated():
        client.admin().raw_insert(table, insert_block=block, settings=settings, fmt="ArrowStream")


def _leftovers(to: Address, batch: uuid.UUID, messages: pa.Table) -> pa.Table:
    """The messages that the views have not typed."""
    sql = f"SELECT DISTINCT _offset FROM {to.leftovers_everywhere} WHERE _batch = {{batch:UUID}}"  # noqa: S608
    offsets = [row["_offset"] for row in client.rows(sql, {"batch": batch})]
    return messages.filter(pc.is_in(messages["_offset"], value_set=pa.array(offsets, pa.int64())))


def _insert_rest(
    to: Address, rest: pa.Table, batch: uuid.UUID, token: uuid.UUID, fence: Fence | None
) -> int:
    typed = direct_insert.type_rest(rest, to.columns, stored=to.stored, filters=to.filters)
    (rows,) = typed.values()
    direct_insert.land(to.place, rows, batch, token_of(token, rest), fence)
    return len(rows.misfits)


def token_of(token: uuid.UUID, rows: pa.Table) -> uuid.UUID:
    """The token of a part of a batch: equal for equal rows, so ClickHouse drops a repetition."""
    offsets = rows["_offset"].combine_chunks().to_numpy().tobytes()
    return uuid.uuid5(token, hashlib.sha256(offsets).hexdigest())


def put_aside(to: Address, batch: PendingBatch) -> None:
    """Insert the messages into the quarantine untyped, past the views; raises WarehouseError.

    Does nothing if the table or the quarantine has any of them, so it is safe to repeat for a
    stream with offsets.
    """
    intent = batch.intent
    if lookups.held_between(to, intent.origin, intent.from_offset, intent.to_offset):
        return
    options = INSERT_SETTINGS | {
        "insert_deduplication_token": str(intent.token),
        "query_id": query_id(intent.token, Target.QUARANTINE),
    }
    problem = {name: pa.scalar("") for name in ("column", "expected", "value")}
    messages = table_of(batch, problem | {"reason": pa.scalar(REASON)})
    header = ddl.quarantine_header(to.columns)
    _insert(to.quarantine, header, messages, options, to.fence_of(intent))


def table_of(batch: PendingBatch, more: Mapping[str, pa.Scalar] = MappingProxyType({})) -> pa.Table:
    """The messages of a batch with the inbox's columns and ``more``, each of one value."""
    rows, intent = batch.rows.combine_chunks(), batch.intent
    constants = {
        "_source": pa.scalar(intent.origin.source_id, pa.uint64()),
        "_partition": pa.scalar(intent.origin.number, pa.uint32()),
        "_batch": pa.scalar(intent.token.bytes, pa.binary(16)),
        **more,
    }
    for name, value in constants.items():
        rows = rows.append_column(name, pa.repeat(value, rows.num_rows))
    return rows
