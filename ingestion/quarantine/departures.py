"""What the ledger keeps of messages that have left the quarantine, by partition and batch."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from datetime import UTC, datetime

from ingestion.models import (
    BackfillChunk,
    Batch,
    BatchState,
    QuarantineAction,
    QuarantineDeparture,
    QuarantineRun,
    StreamPartition,
)
from ingestion.quarantine.messages import Key

#: Where a message comes from: its source and the number of its partition; the source 0 is a file.
Place = tuple[int, int]


def unsettled(batches: Collection[uuid.UUID]) -> set[uuid.UUID]:
    """Which of the batches may still change in ClickHouse, or be counted again.

    Ask after reading the messages: what has landed by then had its intent before.
    """
    open_batches = Batch.across_tenants.filter(token__in=batches).exclude(state=BatchState.SETTLED)
    open_chunks = BackfillChunk.across_tenants.filter(token__in=batches, done_at=None)
    return {
        *open_batches.values_list("token", flat=True),
        *open_chunks.values_list("token", flat=True),
    }


def note(
    run: QuarantineRun, keys: Collection[Key], places: Mapping[Key, tuple[Place, int]]
) -> None:
    """Record that these messages leave the quarantine; call it in the transaction that counts them.

    ``places``: where each comes from, and when it came in, in ms since 1970.
    """
    by_batch: dict[tuple[uuid.UUID, Place], list[Key]] = defaultdict(list)
    for key in keys:
        by_batch[key[0], places[key][0]].append(key)
    partitions = _partitions({place for _, place in by_batch})
    incarnations = dict(
        Batch.across_tenants.filter(token__in={batch for batch, _ in by_batch}).values_list(
            "token", "incarnation"
        )
    )
    rows = (
        _departure(run, partitions[place], batch, [key[1] for key in left])
        for (batch, place), left in by_batch.items()
        if place in partitions
    )
    made = []
    for row in rows:
        came_in = datetime.fromtimestamp(
            min(places[row.batch, offset][1] for offset in row.offsets) / 1000, UTC
        )
        row.incarnation = incarnations.get(row.batch, _incarnation(row.partition, came_in))
        made.append(row)
    QuarantineDeparture.across_tenants.bulk_create(made, batch_size=1_000)


def _departure(
    run: QuarantineRun, partition: StreamPartition, batch: uuid.UUID, offsets: list[int]
) -> QuarantineDeparture:
    return QuarantineDeparture(
        run=run,
        partition=partition,
        batch=batch,
        from_offset=min(offsets),
        to_offset=max(offsets) + 1,
        offsets=sorted(offsets),
        is_discard=run.action == QuarantineAction.DISCARD,
    )


def _partitions(places: Collection[Place]) -> dict[Place, StreamPartition]:
    sources = {source for source, _ in places}
    rows = StreamPartition.across_tenants.filter(source__in=sources)
    return {(row.source_id, row.number): row for row in rows}


def _incarnation(partition: StreamPartition, came_in: datetime) -> int:
    """The incarnation of a batch that was folded: the present one, or the one before."""
    is_present = partition.began_at is None or came_in >= partition.began_at
    return partition.incarnation if is_present else max(0, partition.incarnation - 1)


def between(partition: StreamPartition, start: int, end: int) -> Iterator[QuarantineDeparture]:
    """The departures of the partition's present incarnation that begin in ``[start, end)``."""
    return QuarantineDeparture.across_tenants.filter(
        partition=partition,
        incarnation=partition.incarnation,
        from_offset__gte=start,
        from_offset__lt=end,
    ).iterator(chunk_size=1_000)


def discarded(partition: StreamPartition, start: int, end: int) -> set[int]:
    """The offsets in ``[start, end)`` whose messages were discarded."""
    rows = QuarantineDeparture.across_tenants.filter(
        partition=partition,
        incarnation=partition.incarnation,
        is_discard=True,
        from_offset__lt=end,
        to_offset__gt=start,
    )
    return {offset for row in rows for offset in row.offsets if start <= offset < end}


def of_offset(partition: StreamPartition, offset: int) -> list[QuarantineDeparture]:
    """When and how the messages with this offset left the quarantine, the earliest first."""
    rows = QuarantineDeparture.across_tenants.select_related("run").order_by("pk")
    within = rows.filter(partition=partition, from_offset__lte=offset, to_offset__gt=offset)
    return [row for row in within if offset in row.offsets]
