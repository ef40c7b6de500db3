"""Poison messages, which kill each worker that takes them: finds them and quarantines them.

A worker that dies gives no lease back. Once CRASHES owners in a row have died with the same batch
under way, the partition is read with caution: the batch is divided into PIECES pieces, and a piece
with which an owner dies is divided again, until CRASHES owners have died with one message alone.
That message goes into the quarantine by itself, past the views. A piece that lands after all (its
owner died of another partition's message, or was killed) is no longer suspect: reading goes on with
the larger pieces that it was a part of.

The table shows which messages of the batch have landed. If the stream has offsets, the range is
read again as after a reset (``Batch.is_reread``); a queue delivers again what was not acknowledged.
If several partitions are read with caution, a process tries one at a time, so that no message is
blamed for a crash that another caused.
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
from ingestion.landing import fence, lookups
from ingestion.landing.addresses import Address
from ingestion.landing.inbox import REASON
from ingestion.landing.query_ids import await_inserts
from ingestion.models import Batch, BatchState, Caution, Source, StreamPartition
from ingestion.monitoring import source_errors

#: The number of pieces into which a suspect batch is divided. Each level costs one more crash.
PIECES = 32
#: A queue certainly delivers the messages of a suspect batch again within this many messages.
NEAR = 200


def judge(connector: Connector, source: Source, address: Address, lease: Lease) -> None:
    """If earlier owners died, decide whether the partition is read with caution, and how.

    Called before the open intent is recovered. Raises ConnectorError, WarehouseError, LeaseLost;
    then nothing has been stored.
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
    is_queue = _is_queue(connector, source, batch)
    if is_queue:
        fence.put_up(address.leftovers, batch.token)
    await_inserts(batch.token)
    held = len(lookups.held(address, batch.token))
    if held == batch.rows and not batch.is_reread:
        # The whole batch landed. It is finished here, so that its recovery doesn't insert it again.
        announce.finish(lease.owner, {lease: intent_of(batch, lease)})
        return
    with transaction.atomic():
        _hold(lease)
        narrowed = _narrowed(caution, batch, is_queue=is_queue)
        narrowed.save()
        if is_queue:
            announce.finish(lease.owner, {lease: replace(intent_of(batch, lease), rows=held)})
        else:
            _leave_to_pieces(batch, held)
        forget_crashes(lease)
    if caution is None:
        _report_caution(source, lease, batch, narrowed)


def forget_crashes(lease: Lease) -> None:
    """Reset the count of crashes: no owner has died of the messages that come next."""
    StreamPartition.across_tenants.filter(pk=lease.partition_id).update(crashes=0)


def _hold(lease: Lease) -> None:
    """Lock the partition for this transaction; raises LeaseLost if another owner has it."""
    owned = StreamPartition.across_tenants.select_for_update().filter(
        pk=lease.partition_id, lease_owner=lease.owner, epoch=lease.epoch
    )
    if not owned.exists():
        raise LeaseLost(str(lease))


def _is_queue(connector: Connector, source: Source, batch: Batch) -> bool:
    """Whether the connector can't read the batch again, because a queue delivers it again."""
    number = batch.partition.number
    chunks = connector.repeat(source, number, batch.from_offset, batch.to_offset)
    try:
        next(iter(chunks), None)
    except CannotRepeat:
        return True
    except OffsetsGone:
        return False
    return False


def _narrowed(caution: Caution | None, batch: Batch, *, is_queue: bool) -> Caution:
    """The caution after an owner died with ``batch`` under way: smaller pieces, up to its end."""
    narrowed = caution or Caution(partition_id=batch.partition_id, until=0, rows=0)
    # Messages of a queue get new numbers when they are delivered again.
    until = batch.to_offset + (max(batch.rows, NEAR) if is_queue else 0)
    narrowed.narrow(until, -(-batch.rows // PIECES) if batch.rows > 1 else 1)
    if batch.rows > 1:
        narrowed.suspect, narrowed.crashes = "", 0
    else:
        narrowed.crashes += bool(narrowed.suspect)
    return narrowed


def _leave_to_pieces(batch: Batch, held: int) -> None:
    """Let the batch's range be read again in pieces.

    Rows of it that have landed stay in the books as this batch's; without any, the batch is
    deleted.
    """
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
    """The caution for the messages after ``batch``, which has landed; None to read as usual again.

    Stores it, or deletes it.
    """
    if batch.is_condemned:
        source_errors.tell(source, _condemned_text(source, batch))
    elif batch.intent.to_offset < caution.until:
        return caution
    # This piece is done: go on with the larger pieces that it was a part of.
    while caution.widen():
        if batch.intent.to_offset < caution.until:
            caution.save()
            return caution
    caution.delete()
    return None


def _condemned_text(source: Source, batch: PendingBatch) -> str:
    message_id = batch.rows["_message_id"][0].as_py()
    name = f" (message id {message_id})" if message_id else ""
    return (
        f"Partition {batch.intent.origin.number}: {CRASHES} workers died of the message at offset "
        f"{batch.intent.from_offset}{name} alone. It is in the quarantine of {source.table.name}, "
        f"with the reason {REASON}, and reading goes on after it. Find out why it kills a worker "
        "before you send it again."
    )


def _report_caution(source: Source, lease: Lease, batch: Batch, caution: Caution) -> None:
    source_errors.tell(
        source,
        f"Partition {lease.number}: several workers in a row died with a batch of {batch.rows} "
        f"messages under way (offsets {batch.from_offset} to {batch.to_offset - 1}). Millrace now "
        f"inserts {caution.rows} of them at a time, and then fewer, until the message that kills "
        "workers is in the quarantine.",
    )
