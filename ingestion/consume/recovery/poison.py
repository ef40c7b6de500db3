"""A message that kills whoever takes it: found by trying less and less, then put aside.

A worker that dies gives no lease back. Once CRASHES owners in a row have died with the same batch
under way, the partition is read with caution: in pieces of a PIECES-th, and of each piece that is
died of in pieces again, until one message alone has been died of CRASHES times. That one goes into
the quarantine by itself, past the views. A piece that lands after all (its owner died of another's
message, or was killed) is no more suspect: reading goes on by the pieces that it was a part of.

What of it was inserted already is told by the table: of a stream with offsets the range is read
again as after a reset (``Batch.is_reread``); a queue delivers again what was not acknowledged.
Where several partitions are read with caution, a process tries one at a time, so that no message
is blamed for another's.
"""

from __future__ import annotations

from dataclasses import replace

from django.db import transaction
from django.db.models.functions import Now

from ingestion.batches import announce
from ingestion.batches.batch import Lease, PendingBatch
from ingestion.connectors.base import Connector
from ingestion.consume.recovery.open_batches import intent_of
from ingestion.consume.recovery.poison_probe import CRASHES
from ingestion.errors import CannotRepeat, LeaseLost, OffsetsGone
from ingestion.landing import lookups
from ingestion.landing.addresses import Address
from ingestion.landing.inbox import REASON
from ingestion.landing.query_ids import await_inserts
from ingestion.models import Batch, BatchState, Caution, Source, StreamPartition
from ingestion.monitoring import source_errors

#: Pieces into which a batch is cut that owners died of. Each level costs one more crash.
PIECES = 32
#: Messages within which a queue surely delivers again what an owner died of.
NEAR = 200


def judge(connector: Connector, source: Source, at: Address, lease: Lease) -> None:
    """Note what the last owner died of, if it died. Called before its open intent is recovered.

    Raises ConnectorError, WarehouseError, LeaseLost; then nothing is noted.
    """
    if not lease.crashes:
        return
    batch = Batch.across_tenants.filter(
        partition=lease.partition_id, state=BatchState.INTENT
    ).first()
    if batch is None:
        forget_crashes(lease)
        return
    caution = Caution.across_tenants.filter(partition=lease.partition_id).first()
    if caution is None and lease.crashes < CRASHES:
        return
    await_inserts(batch.token)
    held = len(lookups.held(at, batch.token))
    if held == batch.rows and not batch.is_reread:
        # All of it landed, so that it is not sent once more.
        announce.finish(lease.owner, {lease: intent_of(batch, lease)})
        return
    is_queue = _is_queue(connector, source, batch)
    with transaction.atomic():
        _hold(lease)
        found = _narrowed(caution, batch, is_queue=is_queue)
        found.save()
        if is_queue:
            announce.finish(lease.owner, {lease: replace(intent_of(batch, lease), rows=held)})
        else:
            _leave_to_pieces(batch, held)
        forget_crashes(lease)
    if caution is None:
        _tell(source, lease, batch, found)


def forget_crashes(lease: Lease) -> None:
    """No owner has died of what comes next."""
    StreamPartition.across_tenants.filter(pk=lease.partition_id).update(crashes=0)


def _hold(lease: Lease) -> None:
    owned = StreamPartition.across_tenants.select_for_update().filter(
        pk=lease.partition_id, lease_owner=lease.owner, epoch=lease.epoch
    )
    if not owned.exists():
        raise LeaseLost(str(lease))


def _is_queue(connector: Connector, source: Source, batch: Batch) -> bool:
    """Whether the batch can't be read again, but is delivered again."""
    number = batch.partition.number
    again = connector.repeat(source, number, batch.from_offset, batch.to_offset)
    try:
        next(iter(again), None)
    except CannotRepeat:
        return True
    except OffsetsGone:
        return False
    return False


def _narrowed(caution: Caution | None, batch: Batch, *, is_queue: bool) -> Caution:
    """The caution that follows from a death with ``batch`` under way."""
    found = caution or Caution(partition_id=batch.partition_id, until=0, rows=0)
    # A queue's messages have new numbers when they come again.
    until = batch.to_offset + (max(batch.rows, NEAR) if is_queue else 0)
    found.narrow(until, -(-batch.rows // PIECES) if batch.rows > 1 else 1)
    if batch.rows > 1:
        found.suspect, found.crashes = "", 0
    else:
        found.crashes += bool(found.suspect)
    return found


def _leave_to_pieces(batch: Batch, held: int) -> None:
    """The batch's range is read again; what it has in the table stays in the books as its own."""
    partition = StreamPartition.across_tenants.get(pk=batch.partition_id)
    partition.reread_until = max(partition.reread_until, batch.to_offset)
    partition.save(update_fields=["reread_until"])
    if held:
        Batch.across_tenants.filter(pk=batch.pk).update(
            state=BatchState.DONE, rows=held, deduplicated=0, is_reread=True, done_at=Now()
        )
    else:
        batch.delete()


def relaxed(source: Source, caution: Caution, batch: PendingBatch) -> Caution | None:
    """What owners died of lies behind, as ``batch`` has landed; returns the caution from here on.

    None, where it goes on as ever.
    """
    if batch.is_condemned:
        source_errors.tell(source, _told(source, batch))
    elif batch.intent.to_offset < caution.until:
        return caution
    # Go on by the larger pieces that this one was a part of.
    while caution.widen():
        if batch.intent.to_offset < caution.until:
            caution.save()
            return caution
    caution.delete()
    return None


def _told(source: Source, batch: PendingBatch) -> str:
    message_id = batch.rows["_message_id"][0].as_py()
    name = f" (message id {message_id})" if message_id else ""
    return (
        f"Partition {batch.intent.origin.number}: {CRASHES} workers died of the message at offset "
        f"{batch.intent.from_offset}{name} alone. It is in the quarantine of {source.table.name}, "
        f"with the reason {REASON}, and reading goes on behind it. Look what about it kills a "
        "worker before you send it again."
    )


def _tell(source: Source, lease: Lease, batch: Batch, found: Caution) -> None:
    source_errors.tell(
        source,
        f"Partition {lease.number}: worker after worker died with a batch of {batch.rows} messages "
        f"under way (offsets {batch.from_offset} to {batch.to_offset - 1}). They are inserted "
        f"{found.rows} at a time now, and fewer, until what kills is in the quarantine.",
    )
