"""Notices streams that were deleted and created again, whose offsets mean other messages.

Kafka's topics have ids (KIP-516), so a new topic is noticed however long it is. Without an id, a
new stream is noticed only while it is shorter than what was read of the old one. Either way the
source stops: the unread messages of the old stream are lost, and only the source's owner knows
whether the new stream repeats messages. A reset goes on with the new stream as another incarnation
of the partition. Its rows and books are kept apart from earlier ones by time and by the
incarnation's number.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta

from django.db.models import F
from django.db.models.functions import Now

from ingestion.batches.batch import Lease
from ingestion.connectors.base import Watermarks
from ingestion.errors import Refused
from ingestion.models import Batch, FoldedBatches, Source, StreamPartition
from ingestion.monitoring import source_errors
from tenants.warehouse import client


def is_another(stream_id: str, position: int | None, mark: Watermarks) -> bool:
    """Whether the broker's stream is certainly not the one that was read up to ``position``."""
    if stream_id and mark.stream_id and stream_id != mark.stream_id:
        return True
    return position is not None and position > mark.high


def check(source: Source, lease: Lease, mark: Watermarks) -> None:
    """Raise Refused unless the broker's stream is the one that the position belongs to.

    A partition from which nothing has landed yet begins with the new stream, at its start.
    """
    if not is_another(lease.stream_id, lease.position, mark):
        return
    if lease.stream_id == mark.stream_id or _has_landed(lease.partition_id):
        raise Refused(_text(source, lease.number, lease.stream_id, lease.position, mark))
    StreamPartition.across_tenants.filter(pk=lease.partition_id).update(
        stream_id=mark.stream_id, position=mark.low
    )


def notice(source: Source, known: Mapping[int, str], marks: Mapping[int, Watermarks]) -> None:
    """Stop a source whose stream was created again. ``known``: stream ids by partition number.

    Does nothing for a paused source, or if nothing of the old stream has landed.
    """
    changed = [
        number
        for number, stream_id in known.items()
        if stream_id and marks[number].stream_id not in ("", stream_id)
    ]
    if not changed or not source.active:
        return
    partitions = StreamPartition.across_tenants.filter(source=source, number__in=changed)
    read = [partition for partition in partitions if _has_landed(partition.pk)]
    if not read:
        return
    # A worker that holds a lease now reads the new stream at the old stream's offsets: fence it.
    StreamPartition.across_tenants.filter(
        pk__in=[partition.pk for partition in read], lease_expires_at__gt=Now()
    ).update(lease_owner="", lease_expires_at=Now(), epoch=F("epoch") + 1)
    first = read[0]
    text = _text(source, first.number, first.stream_id, first.position, marks[first.number])
    if source.error != text or not source.attempts:
        source_errors.note(source, text)


def begin(partition: StreamPartition, stream_id: str, position: int) -> None:
    """Begin a new incarnation of the partition, at ``position`` of the stream that exists now.

    No insert from the old stream may be under way any more. Raises WarehouseError.
    """
    partition.stream_id, partition.position = stream_id, position
    partition.incarnation += 1
    partition.began_at = _engine_time() + timedelta(milliseconds=1)
    partition.reread_until = 0
    partition.retired_at = None
    partition.save(
        update_fields=[
            *("stream_id", "position", "incarnation", "began_at", "reread_until", "retired_at")
        ]
    )


def retire(source: Source, numbers: Collection[int]) -> None:
    """Retire the source's partitions except ``numbers``, the only ones that the stream has."""
    gone = StreamPartition.across_tenants.filter(source=source, retired_at=None).exclude(
        number__in=numbers
    )
    gone.update(retired_at=Now(), low_watermark=0, high_watermark=0)


def revive(source: Source, numbers: Collection[int], marks: Mapping[int, Watermarks]) -> None:
    """Read retired partitions that the stream has again from their start; raises WarehouseError."""
    for partition in StreamPartition.across_tenants.filter(source=source, number__in=numbers):
        mark = marks[partition.number]
        begin(partition, mark.stream_id, mark.low)


def _has_landed(partition_id: int) -> bool:
    return (
        Batch.across_tenants.filter(partition=partition_id).exists()
        or FoldedBatches.across_tenants.filter(partition=partition_id).exists()
    )


def _engine_time() -> datetime:
    """ClickHouse's time, because rows carry it; the workers' clocks may differ."""
    milliseconds = client.rows("SELECT toUnixTimestamp64Milli(now64(3)) AS ms")[0]["ms"]
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def _text(
    source: Source, number: int, stream_id: str, position: int | None, mark: Watermarks
) -> str:
    what = f"Partition {number} of {source.stream!r}"
    if stream_id and stream_id == mark.stream_id:
        return (
            f"{what} ends at offset {mark.high}, and {position} were read: the broker has lost its "
            "end (perhaps by an unclean leader election). Reset the source to its end to continue "
            "with new messages only, or to its start to read everything that the broker has again."
        )
    if stream_id and mark.stream_id:
        sign = f"is not the one that was read up to offset {position}"
    else:
        sign = f"ends at offset {mark.high}, and {position} were read"
    return (
        f"{what} {sign}: it was deleted and created again. Reset the source to its start to read "
        "everything in the new stream, all of which counts as new, or to its end to continue with "
        "new messages only. Unread messages of the old stream are lost."
    )
