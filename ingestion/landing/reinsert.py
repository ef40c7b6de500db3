"""Bringing a batch to its end that may be in the table as a whole, in part, or not at all.

The rows carry their batch, so the table knows. What is missing is inserted again: with the batch's
own token while the engine surely remembers it, so that a late insert of an earlier owner and ours
count once; otherwise only the missing offsets, under a token of their own.
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
from ingestion.models import BackfillChunk, Batch, FoldedBatches, Table

#: Inserts of one batch at the most: what the views type, and what is left over.
INSERTS_A_BATCH = 2
#: Blocks that one insert leaves in the window at the least, as is assumed: one for each partition
#: of the table that it touches, and of a rollup behind it.
BLOCKS_AN_INSERT = 20
#: A token is trusted no longer than this, however few inserts came after it.
TRUSTED = timedelta(hours=12)


def complete(at: Address, batch: PendingBatch, *, remembered: bool) -> int:
    """Insert what the table has not of the batch; returns the rows it has then, all of them.

    ``remembered`` says that the engine surely knows the batch's token, if the batch ever landed.
    Raises WarehouseError, and Shortfall where rows are missing after all.
    """
    token = batch.intent.token
    if remembered:
        # Even where the table has all: a rollup behind it may not. Each has a window of its own.
        _insert_as_before(at, batch)
    held = lookups.held(at, token)
    if missing := _missing(batch.rows, held):
        part = inbox.token_of(token, missing)
        inbox.insert(at, PendingBatch(batch.intent, missing), part)
        held = lookups.held(at, token)
    if _missing(batch.rows, held):
        msg = f"Batch {token}: {len(held)} of {batch.rows.num_rows} rows are in the table."
        raise Shortfall(msg)
    return len(held)


def _insert_as_before(at: Address, batch: PendingBatch) -> None:
    """By the same way, as the engine knows a block by its token and the way that it came."""
    if batch.intent.past_views:
        grouped_insert.insert_one(grouped_insert.AddressedBatch(at, batch))
    else:
        inbox.insert(at, batch)


def fill(at: Address, batch: PendingBatch) -> Intent:
    """Insert what the table has not of a range that was read before, whichever batch it was in.

    Returns the intent with the rows that are its own; the others count as deduplicated. Safe to
    repeat. Raises WarehouseError, and Shortfall where rows are missing after all.
    """
    intent = batch.intent
    where = (intent.origin, intent.from_offset, intent.to_offset)
    if missing := _missing(batch.rows, lookups.held_between(at, *where)):
        part = inbox.token_of(intent.token, missing)
        inbox.insert(at, PendingBatch(intent, missing), part)
        if _missing(missing, lookups.held_between(at, *where)):
            raise Shortfall(f"Batch {intent.token}: not all of its rows are in the table.")
    own = len(lookups.held(at, intent.token))
    return replace(intent, rows=own, deduplicated=batch.rows.num_rows - own)


def is_remembered(table: Table, opened_at: datetime) -> bool:
    """Whether the engine surely has a token of that time in the table's window still.

    Raises WarehouseError.
    """
    table_id = table.pk
    if timezone.now() - opened_at > TRUSTED:
        return False
    since = Batch.across_tenants.filter(partition__source__table=table_id, opened_at__gte=opened_at)
    folded = FoldedBatches.across_tenants.filter(
        partition__source__table=table_id, done_at__gte=opened_at
    ).aggregate(batches=Coalesce(Sum("batches"), 0))
    chunks = BackfillChunk.across_tenants.filter(backfill__table=table_id, opened_at__gte=opened_at)
    inserts = INSERTS_A_BATCH * (since.count() + folded["batches"] + chunks.count())
    blocks = max(BLOCKS_AN_INSERT, lookups.most_partitions(table))
    return bool(inserts * blocks < DEDUPLICATION_WINDOW)


def _missing(rows: pa.Table, held: list[int]) -> pa.Table | None:
    there = pc.is_in(rows["_offset"], value_set=pa.array(held, pa.int64()))
    missing = rows.filter(pc.invert(there))
    return missing if missing.num_rows else None
