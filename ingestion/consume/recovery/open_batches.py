"""Finishes the batches that an earlier owner left open when it crashed, before reading goes on.

An open intent says that the messages ``[from, to)`` may be in the table all, in part, or not at
all. Each row carries its batch's token, so the table shows which. If the stream has offsets, the
missing messages are read again and inserted by ``reinsert``.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import pyarrow as pa
from django.db.models import F

from ingestion.batches.announce import finish
from ingestion.batches.batch import Intent, Lease, PendingBatch
from ingestion.connectors.base import Connector
from ingestion.connectors.chunk import schema
from ingestion.connectors.redelivery import Redelivery
from ingestion.ddl.metadata import wanted
from ingestion.errors import CannotRepeat, LeaseLost, OffsetsGone
from ingestion.landing import addresses, fence, lookups, reinsert
from ingestion.landing.addresses import Address
from ingestion.landing.query_ids import await_inserts
from ingestion.models import Batch, BatchState, ConnectionKind, Source, StreamPartition
from ingestion.monitoring import source_errors

log = logging.getLogger(__name__)


def recover(connector: Connector, source: Source, lease: Lease) -> None:
    """Finish the open intents of a partition, each with the table version that it names.

    Raises ConnectorError, WarehouseError, LeaseLost.
    """
    opened = Batch.across_tenants.filter(partition_id=lease.partition_id, state=BatchState.INTENT)
    for batch in opened.order_by("pk"):
        intent = intent_of(batch, lease)
        log.info("Recovering batch %s of %s", batch.token, source)
        address = addresses.address_of_version(source.table, batch.table_version)
        completed = _completed(connector, source, address, batch, intent)
        if not finish(lease.owner, {lease: completed}):
            raise LeaseLost(str(batch))


def abandon(source: Source, address: Address, lease: Lease) -> None:
    """Finish the open intents of a stream that no longer exists, with the rows that the table has.

    The missing messages can't be read any more, and count as lost. Raises WarehouseError,
    LeaseLost.
    """
    opened = Batch.across_tenants.filter(partition_id=lease.partition_id, state=BatchState.INTENT)
    for batch in opened.order_by("pk"):
        fence.put_up(address.leftovers, batch.token)
        await_inserts(batch.token)
        held = len(lookups.held(address, batch.token))
        log.error(
            "Batch %s of %s: the stream is gone; %d of %d rows had landed.",
            batch.token,
            source,
            held,
            batch.rows,
        )
        if not finish(lease.owner, {lease: replace(intent_of(batch, lease), rows=held)}):
            raise LeaseLost(str(batch))
        StreamPartition.across_tenants.filter(pk=lease.partition_id).update(
            lost=F("lost") + max(0, batch.rows - held)
        )


def redelivery(source: Source, address: Address, lease: Lease) -> Redelivery:
    """The messages that have landed in unsettled batches, and that the queue may deliver again.

    For a RabbitMQ queue ClickHouse is asked even if there are no such batches. If ClickHouse is
    down, the query fails and nothing is taken from the queue, so that an outage doesn't use up the
    queue's delivery limit.
    """
    unsettled = Batch.across_tenants.filter(partition_id=lease.partition_id).exclude(
        state=BatchState.SETTLED
    )
    is_queue = source.kind == ConnectionKind.RABBITMQ
    tokens = list(unsettled.values_list("token", flat=True))
    return Redelivery(
        Counter(lookups.message_ids(address, tokens)) if tokens or is_queue else Counter(),
        lambda ids: lookups.known_ids(address, source.pk, ids),
    )


def intent_of(batch: Batch, lease: Lease) -> Intent:
    """The intent of an open batch, for the lease under which it is finished."""
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
    connector: Connector, source: Source, address: Address, batch: Batch, intent: Intent
) -> Intent:
    """Insert what is missing of an open batch; returns the intent with the rows that landed."""
    if intent.is_reread:
        await_inserts(intent.token)
        rows = _repeated(connector, source, intent, wanted(address.columns))
        return reinsert.fill(address, PendingBatch(intent, rows))
    held = lookups.held(address, intent.token)
    # An insert through views that are gone can't be repeated under its token.
    is_repeatable = bool(address.inbox) or intent.past_views
    remembered = is_repeatable and reinsert.is_remembered(source.table, batch.opened_at)
    if len(held) == intent.rows and not remembered:
        return intent
    try:
        rows = _repeated(connector, source, intent, wanted(address.columns))
    except CannotRepeat:
        # The queue delivers the missing messages again, as part of a new batch.
        fence.put_up(address.leftovers, intent.token)
        await_inserts(intent.token)
        return replace(intent, rows=len(lookups.held(address, intent.token)))
    if not remembered:
        # ClickHouse would not recognise the token of an insert that is still running.
        await_inserts(intent.token)
    landed = reinsert.complete(address, PendingBatch(intent, rows), remembered=remembered)
    return replace(intent, rows=landed)


def _repeated(
    connector: Connector, source: Source, intent: Intent, metadata: Sequence[str]
) -> pa.Table:
    """Read the messages of an intent again; note those that the broker has deleted as a gap.

    ``metadata``: what the columns read of it in the version of the table that the intent names.
    """
    number, start, end = intent.origin.number, intent.from_offset, intent.to_offset
    try:
        chunks = list(connector.repeat(source, number, start, end, metadata))
    except OffsetsGone as gone:
        low = min(max(gone.low, start), end)
        source_errors.note_gap(source, number, start, low)
        rest = connector.repeat(source, number, low, end, metadata) if low < end else ()
        chunks = list(rest)
    rows = [chunk.rows for chunk in chunks]
    return pa.Table.from_batches(rows, schema(has_metadata=bool(metadata)))
