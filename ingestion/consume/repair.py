"""Bringing a batch to its end that may be in the table as a whole, in part, or not at all.

The rows carry their batch, so the table knows. What is missing is inserted again: with the batch's
own token while the engine surely remembers it, so that a late insert of an earlier owner and ours
count once; otherwise only the missing offsets, under a token of their own.
"""

from __future__ import annotations

import hashlib
import uuid
from datetime import datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc
from django.utils import timezone

from ingestion.consume import inbox
from ingestion.consume.inbox import Address
from ingestion.consume.intent import Intent
from ingestion.consume.lane import Cut
from ingestion.ddl.spec import DEDUPLICATION_WINDOW
from ingestion.errors import Shortfall
from ingestion.models import BackfillChunk, Batch

#: Blocks that one insert may leave in the window: one for each partition of the table it touches.
BLOCKS_AN_INSERT = 20
#: A token is trusted no longer than this, however few inserts came after it.
TRUSTED = timedelta(hours=12)


def complete(at: Address, source_id: int, cut: Cut, *, remembered: bool) -> int:
    """Insert what the table has not of the batch; returns the rows it has then, all of them.

    ``remembered`` says that the engine surely knows the batch's token, if the batch ever landed.
    Raises WarehouseError, and Shortfall where rows are missing after all.
    """
    token = cut.intent.token
    held = inbox.held(at, token)
    if cut.rows.num_rows > len(held) and remembered:
        inbox.insert(at, source_id, cut)
        held = inbox.held(at, token)
    if missing := _missing(cut.rows, held):
        inbox.insert(at, source_id, Cut(cut.intent, missing), _token_of(cut.intent, missing))
        held = inbox.held(at, token)
    if _missing(cut.rows, held):
        msg = f"Batch {token}: {len(held)} of {cut.rows.num_rows} rows are in the table."
        raise Shortfall(msg)
    return len(held)


def is_remembered(table_id: int, opened_at: datetime) -> bool:
    """Whether the engine surely has a token of that time in the table's window still."""
    if timezone.now() - opened_at > TRUSTED:
        return False
    since = Batch.objects.filter(partition__source__table=table_id, opened_at__gte=opened_at)
    chunks = BackfillChunk.objects.filter(backfill__table=table_id, opened_at__gte=opened_at)
    return (since.count() + chunks.count()) * BLOCKS_AN_INSERT < DEDUPLICATION_WINDOW


def _missing(rows: pa.Table, held: list[int]) -> pa.Table | None:
    there = pc.is_in(rows["_offset"], value_set=pa.array(held, pa.int64()))
    missing = rows.filter(pc.invert(there))
    return missing if missing.num_rows else None


def _token_of(intent: Intent, missing: pa.Table) -> uuid.UUID:
    """The same for the same rows, so that a repeated repair is dropped; another for others."""
    offsets = missing["_offset"].combine_chunks().to_numpy().tobytes()
    return uuid.uuid5(intent.token, hashlib.sha256(offsets).hexdigest())
