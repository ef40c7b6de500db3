"""After a crash: what an earlier owner left open is brought to an end before reading goes on.

An open intent says that ``[from, to)`` may be in the table as a whole, in part, or not at all. The
rows carry their batch, so the table knows. What is missing is read again and inserted: with the
batch's own token while the engine surely remembers it, so that a late insert of the earlier owner
and ours count once; otherwise only the missing offsets, under a token of their own.
"""

from __future__ import annotations

import hashlib
import logging
import uuid
from collections import Counter
from dataclasses import replace
from datetime import timedelta

import pyarrow as pa
import pyarrow.compute as pc
from django.utils import timezone

from ingestion.connectors.base import Connector
from ingestion.connectors.chunk import SCHEMA
from ingestion.connectors.redelivery import Redelivery
from ingestion.consume import inbox, trouble
from ingestion.consume.inbox import Address
from ingestion.consume.intent import Intent, finish
from ingestion.consume.lane import Cut
from ingestion.consume.lease import Lease
from ingestion.ddl.spec import DEDUPLICATION_WINDOW
from ingestion.errors import CannotRepeat, LeaseLost, OffsetsGone, Shortfall
from ingestion.models import BackfillChunk, Batch, BatchState, Source

log = logging.getLogger(__name__)

#: Blocks that one insert may leave in the window: one for each partition of the table it touches.
BLOCKS_AN_INSERT = 20
#: A token is trusted no longer than this, however few inserts came after it.
TRUSTED = timedelta(hours=12)


def recover(connector: Connector, source: Source, at: Address, lease: Lease) -> None:
    """Bring the open intents of a partition to an end; raises ConnectorError or WarehouseError."""
    opened = Batch.objects.filter(partition_id=lease.partition_id, state=BatchState.INTENT)
    for batch in opened.order_by("pk"):
        intent = _intent(batch, lease)
        log.info("Recovering batch %s of %s", batch.token, source)
        done = _completed(connector, source, at, batch, intent)
        if not finish(lease.owner, [done]):
            raise LeaseLost(str(batch))


def redelivery(source: Source, at: Address, lease: Lease) -> Redelivery:
    """What of a queue's unsettled batches is in the table, and may be delivered again."""
    unsettled = Batch.objects.filter(partition_id=lease.partition_id).exclude(
        state=BatchState.SETTLED
    )
    tokens = list(unsettled.values_list("token", flat=True))
    return Redelivery(
        Counter(inbox.message_ids(at, tokens)) if tokens else Counter(),
        lambda ids: inbox.known_ids(at, source.pk, ids),
    )


def _intent(batch: Batch, lease: Lease) -> Intent:
    return Intent(
        lease=lease,
        token=batch.token,
        from_offset=batch.from_offset,
        to_offset=batch.to_offset,
        rows=batch.rows,
        bytes=batch.bytes,
        newest=0,
    )


def _completed(
    connector: Connector, source: Source, at: Address, batch: Batch, intent: Intent
) -> Intent:
    """The intent with the rows that the table holds of it in the end."""
    held = inbox.held(at, intent.token)
    if len(held) == intent.rows:
        return intent
    try:
        rows = _again(connector, source, intent)
    except CannotRepeat:
        # The rest of it is delivered again, and becomes part of a new batch.
        return replace(intent, rows=len(held))
    if rows.num_rows > len(held) and _is_remembered(batch, source):
        inbox.insert(at, source.pk, Cut(intent, rows))
        held = inbox.held(at, intent.token)
    if missing := _missing(rows, held):
        inbox.insert(at, source.pk, Cut(intent, missing), _token_of(intent, missing))
        held = inbox.held(at, intent.token)
    if _missing(rows, held):
        msg = f"Batch {intent.token}: {len(held)} of {rows.num_rows} rows are in the table."
        raise Shortfall(msg)
    return replace(intent, rows=len(held))


def _again(connector: Connector, source: Source, intent: Intent) -> pa.Table:
    """The messages of an intent; those that the broker has deleted since are noted as a gap."""
    number, start, end = intent.lease.number, intent.from_offset, intent.to_offset
    try:
        chunks = list(connector.repeat(source, number, start, end))
    except OffsetsGone as gone:
        low = min(max(gone.low, start), end)
        trouble.note_gap(source, number, start, low)
        chunks = list(connector.repeat(source, number, low, end)) if low < end else []
    return pa.Table.from_batches([chunk.rows for chunk in chunks], SCHEMA)


def _is_remembered(batch: Batch, source: Source) -> bool:
    """Whether the engine surely has the batch's token in its window still, if it ever had it."""
    if timezone.now() - batch.opened_at > TRUSTED:
        return False
    since = Batch.objects.filter(
        partition__source__table=source.table_id, opened_at__gte=batch.opened_at
    ).count()
    since += BackfillChunk.objects.filter(
        backfill__table=source.table_id, opened_at__gte=batch.opened_at
    ).count()
    return since * BLOCKS_AN_INSERT < DEDUPLICATION_WINDOW


def _missing(rows: pa.Table, held: list[int]) -> pa.Table | None:
    there = pc.is_in(rows["_offset"], value_set=pa.array(held, pa.int64()))
    missing = rows.filter(pc.invert(there))
    return missing if missing.num_rows else None


def _token_of(intent: Intent, missing: pa.Table) -> uuid.UUID:
    """The same for the same rows, so that a repeated repair is dropped; another for others."""
    offsets = missing["_offset"].combine_chunks().to_numpy().tobytes()
    return uuid.uuid5(intent.token, hashlib.sha256(offsets).hexdigest())
