"""Completes a batch that may be in the table as a whole, in part, or not at all.

Each row carries its batch's token, so the table shows what is missing. While ClickHouse certainly
remembers the batch's token, the whole batch is inserted again under it, so that a late insert of an
earlier owner and this one count once. Otherwise only the missing offsets are inserted, under a
token of their own.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc
from django.db.models import Sum
from django.db.models.functions import Coalesce
from django.utils import timezone

from ingestion.batches.batch import Intent, PendingBatch
from ingestion.ddl.spec import DEDUPLICATION_WINDOW
from ingestion.errors import Shortfall
from ingestion.landing import grouped_insert, inbox, lookups
from ingestion.landing.addresses import Address
from ingestion.models import BackfillChunk, Batch, FoldedBatches, QuarantineChunk, Table

#: The most inserts of one batch: what the views type, and the leftovers.
INSERTS_A_BATCH = 2
#: Blocks that one insert is assumed to leave in the deduplication window, at least: one for each
#: partition that it touches in the table, and in a rollup behind it.
BLOCKS_AN_INSERT = 20
#: How long a token is trusted to be in the window, however few inserts came after it.
TRUSTED = timedelta(hours=12)


def complete(to: Address, batch: PendingBatch, *, remembered: bool) -> int:
    """Insert what the table lacks of the batch; returns how many rows it has then, all of them.

    ``remembered``: ClickHouse certainly knows the batch's token, if the batch ever landed. Raises
    WarehouseError, and Shortfall if rows are missing after the insert.
    """
    token = batch.intent.token
    if remembered:
        # Even if the table has all rows, a rollup behind it may not: each has its own window.
        _insert_as_before(to, batch)
    held = lookups.held(to, token)
    if missing := _missing(batch.rows, held):
        part = inbox.token_of(token, missing)
        inbox.insert(to, PendingBatch(batch.intent, missing), part)
        held = lookups.held(to, token)
    if _missing(batch.rows, held):
        msg = (
            f"Batch {token}: only {len(held)} of {batch.rows.num_rows} rows are in the table after "
            "its insert."
        )
        raise Shortfall(msg)
    return len(held)


def _insert_as_before(to: Address, batch: PendingBatch) -> None:
    """Insert the batch by the same path as the first time.

    ClickHouse recognises a block by its token and the path that it takes.
    """
    if batch.intent.past_views:
        grouped_insert.insert_one(grouped_insert.AddressedBatch(to, batch))
    else:
        inbox.insert(to, batch)


def fill(to: Address, batch: PendingBatch) -> Intent:
    """Insert what the table lacks of a range that may have landed before, in any batch.

    Returns the intent with the number of rows that landed in this batch; the others count as
    deduplicated. Safe to repeat. Raises WarehouseError, and Shortfall if rows are missing after the
    insert.
    """
    intent = batch.intent
    offsets = (intent.origin, intent.from_offset, intent.to_offset)
    if missing := _missing(batch.rows, lookups.held_between(to, *offsets)):
        part = inbox.token_of(intent.token, missing)
        inbox.insert(to, PendingBatch(intent, missing), part)
        if _missing(missing, lookups.held_between(to, *offsets)):
            msg = f"Batch {intent.token}: not all of its rows are in the table after its insert."
            raise Shortfall(msg)
    own = len(lookups.held(to, intent.token))
    return replace(intent, rows=own, deduplicated=batch.rows.num_rows - own)


def is_remembered(table: Table, opened_at: datetime) -> bool:
    """Whether ClickHouse certainly still has a token of that time in the table's window.

    Assumes the most blocks that all inserts since then can have left in it. Raises WarehouseError.
    """
    table_id = table.pk
    if timezone.now() - opened_at > TRUSTED:
        return False
    since = Batch.across_tenants.filter(partition__source__table=table_id, opened_at__gte=opened_at)
    folded = FoldedBatches.across_tenants.filter(
        partition__source__table=table_id, done_at__gte=opened_at
    ).aggregate(batches=Coalesce(Sum("batches"), 0))
    chunks = BackfillChunk.across_tenants.filter(backfill__table=table_id, opened_at__gte=opened_at)
    replayed = QuarantineChunk.across_tenants.filter(run__table=table_id, opened_at__gte=opened_at)
    others = chunks.count() + replayed.count()
    inserts = INSERTS_A_BATCH * (since.count() + folded["batches"] + others)
    blocks = max(BLOCKS_AN_INSERT, lookups.most_partitions(table))
    return bool(inserts * blocks < DEDUPLICATION_WINDOW)


def _missing(rows: pa.Table, held: list[int]) -> pa.Table | None:
    """The rows whose offsets are not among ``held``; None if there are none."""
    is_held = pc.is_in(rows["_offset"], value_set=pa.array(held, pa.int64()))
    missing = rows.filter(pc.invert(is_held))
    return missing if missing.num_rows else None
