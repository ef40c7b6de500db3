"""After a crash: what an earlier owner left open is brought to an end before reading goes on.

An open intent says that ``[from, to)`` may be in the table as a whole, in part, or not at all. The
rows carry their batch, so the table knows. What is missing is read again, where the stream has
offsets, and inserted by ``reinsert``.
"""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import replace

import pyarrow as pa
from django.db.models import F

from ingestion.batches.announce import finish
from ingestion.batches.batch import Intent, Lease, PendingBatch
from ingestion.connectors.base import Connector
from ingestion.connectors.chunk import SCHEMA
from ingestion.connectors.redelivery import Redelivery
from ingestion.errors import CannotRepeat, LeaseLost, OffsetsGone
from ingestion.landing import addresses, lookups, reinsert
from ingestion.landing.addresses import Address
from ingestion.landing.query_ids import await_inserts
from ingestion.models import Batch, BatchState, ConnectionKind, Source, StreamPartition
from ingestion.monitoring import source_errors

log = logging.getLogger(__name__)


def recover(connector: Connector, source: Source, lease: Lease) -> None:
    """Bring the open intents of a partition to an end, each by the version that it names.

    Raises ConnectorError, WarehouseError, LeaseLost.
    """
    opened = Batch.across_tenants.filter(partition_id=lease.partition_id, state=BatchState.INTENT)
    for batch in opened.order_by("pk"):
        intent = intent_of(batch, lease)
        log.info("Recovering batch %s of %s", batch.token, source)
        at = addresses.address_of_version(source.table, batch.table_version)
        done = _completed(connector, source, at, batch, intent)
        if not finish(lease.owner, {lease: done}):
            raise LeaseLost(str(batch))


def abandon(source: Source, at: Address, lease: Lease) -> None:
    """End the open intents of a stream that is gone with what the table has of them.

    The rest can't be read any more, and counts as lost. Raises WarehouseError, LeaseLost.
    """
    opened = Batch.across_tenants.filter(partition_id=lease.partition_id, state=BatchState.INTENT)
    for batch in opened.order_by("pk"):
        await_inserts(batch.token)
        held = len(lookups.held(at, batch.token))
        log.error("Batch %s of %s: %d of %d rows", batch.token, source, held, batch.rows)
        if not finish(lease.owner, {lease: replace(intent_of(batch, lease), rows=held)}):
            raise LeaseLost(str(batch))
        StreamPartition.across_tenants.filter(pk=lease.partition_id).update(
            lost=F("lost") + max(0, batch.rows - held)
        )


def redelivery(source: Source, at: Address, lease: Lease) -> Redelivery:
    """What of a queue's unsettled batches is in the table, and may be delivered again.

    Of a queue the table is asked in any case: where ClickHouse does not answer, nothing is taken
    from the queue, so that an outage does not use up the deliveries that its limit allows.
    """
    unsettled = Batch.across_tenants.filter(partition_id=lease.partition_id).exclude(
        state=BatchState.SETTLED
    )
    is_queue = source.kind == ConnectionKind.RABBITMQ
    tokens = list(unsettled.values_list("token", flat=True))
    return Redelivery(
        Counter(lookups.message_ids(at, tokens)) if tokens or is_queue else Counter(),
        lambda ids: lookups.known_ids(at, source.pk, ids),
    )


def intent_of(batch: Batch, lease: Lease) -> Intent:
    """An open batch, as its new owner ends it."""
    return Intent(
        origin=lease.origin,
        token=batch.token,
        from_offset=batch.from_offset,
        to_offset=batch.to_offset,
        rows=batch.rows,
        bytes=batch.bytes,
        newest=0,
        deduplicated=batch.deduplicated,
        is_reread=batch.is_reread,
        past_views=batch.past_views,
        table_version=batch.table_version,
    )


def _completed(
    connector: Connector, source: Source, at: Address, batch: Batch, intent: Intent
) -> Intent:
    """The intent with the rows that the table holds of it in the end."""
    if intent.is_reread:
        await_inserts(intent.token)
        return reinsert.fill(at, PendingBatch(intent, _again(connector, source, intent)))
    held = lookups.held(at, intent.token)
    # What came by views that are gone is known by no token that could be repeated.
    is_repeatable = bool(at.inbox) or intent.past_views
    remembered = is_repeatable and reinsert.is_remembered(source.table, batch.opened_at)
    if len(held) == intent.rows and not remembered:
        return intent
    try:
        rows = _again(connector, source, intent)
    except CannotRepeat:
        # The rest of it is delivered again, and becomes part of a new batch.
        await_inserts(intent.token)
        return replace(intent, rows=len(lookups.held(at, intent.token)))
    if not remembered:
        # An insert that comes late would not be known by its token any more.
        await_inserts(intent.token)
    landed = reinsert.complete(at, PendingBatch(intent, rows), remembered=remembered)
    return replace(intent, rows=landed)


def _again(connector: Connector, source: Source, intent: Intent) -> pa.Table:
    """The messages of an intent; those that the broker has deleted since are noted as a gap."""
    number, start, end = intent.origin.number, intent.from_offset, intent.to_offset
    try:
        chunks = list(connector.repeat(source, number, start, end))
    except OffsetsGone as gone:
        low = min(max(gone.low, start), end)
        source_errors.note_gap(source, number, start, low)
        chunks = list(connector.repeat(source, number, low, end)) if low < end else []
    return pa.Table.from_batches([chunk.rows for chunk in chunks], SCHEMA)
