"""Incarnations: a stream that was deleted and made again has offsets that mean something else.

Kafka's topics have ids (KIP-516), so that this is noticed however far the new one has come. Without
an id only a stream that is shorter than what was read of it gives itself away. Either way the
source stops: what had not been read of the old one is lost, and only its owner knows whether what
the new one holds was sent before. A reset goes on with the new one, as another incarnation of the
partition, whose rows and books are kept apart from those before by time and number.
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
    """Whether the broker's stream can't be the one that was read up to ``position``."""
    if stream_id and mark.stream_id and stream_id != mark.stream_id:
        return True
    return position is not None and position > mark.high


def check(source: Source, lease: Lease, mark: Watermarks) -> None:
    """Go on only with the stream that the position belongs to; raises Refused.

    A partition of which nothing was read yet begins with the new one, at its start.
    """
    if not is_another(lease.stream_id, lease.position, mark):
        return
    if lease.stream_id == mark.stream_id or _has_landed(lease.partition_id):
        raise Refused(_text(source, lease.number, lease.stream_id, lease.position, mark))
    StreamPartition.across_tenants.filter(pk=lease.partition_id).update(
        stream_id=mark.stream_id, position=mark.low
    )


def notice(source: Source, known: Mapping[int, str], marks: Mapping[int, Watermarks]) -> None:
    """Stop a source whose stream was made again, and who reads it: ``known`` ids by partition."""
    changed = [
        number
        for number, stream_id in known.items()
        if stream_id and marks[number].stream_id not in ("", stream_id)
    ]
    if not changed or not source.active:
        return
    partitions = StreamPartition.across_tenants.filter(source=source, number__in=changed)
    read = [one for one in partitions if _has_landed(one.pk)]
    if not read:
        return
    # Whoever reads it reads the new one at the old one's offsets, and must not go on.
    StreamPartition.across_tenants.filter(
        pk__in=[one.pk for one in read], lease_expires_at__gt=Now()
    ).update(lease_owner="", lease_expires_at=Now(), epoch=F("epoch") + 1)
    first = read[0]
    text = _text(source, first.number, first.stream_id, first.position, marks[first.number])
    if source.error != text or not source.attempts:
        source_errors.note(source, text)


def begin(partition: StreamPartition, stream_id: str, position: int) -> None:
    """Go on with the stream that is there now, from ``position``; raises WarehouseError.

    Nothing of the old one may be under way any more.
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
    """Read the source's partitions no more, except ``numbers``: the stream has no others."""
    gone = StreamPartition.across_tenants.filter(source=source, retired_at=None).exclude(
        number__in=numbers
    )
    gone.update(retired_at=Now(), low_watermark=0, high_watermark=0)


def revive(source: Source, numbers: Collection[int], marks: Mapping[int, Watermarks]) -> None:
    """Partitions that the stream has after all are read from their start; raises WarehouseError."""
    for one in StreamPartition.across_tenants.filter(source=source, number__in=numbers):
        begin(one, marks[one.number].stream_id, marks[one.number].low)


def _has_landed(partition_id: int) -> bool:
    return (
        Batch.across_tenants.filter(partition=partition_id).exists()
        or FoldedBatches.across_tenants.filter(partition=partition_id).exists()
    )


def _engine_time() -> datetime:
    found = client.rows("SELECT toUnixTimestamp64Milli(now64(3)) AS ms")[0]["ms"]
    return datetime.fromtimestamp(found / 1000, UTC)


def _text(
    source: Source, number: int, stream_id: str, position: int | None, mark: Watermarks
) -> str:
    what = f"Partition {number} of {source.stream!r}"
    if stream_id and stream_id == mark.stream_id:
        return (
            f"{what} ends at offset {mark.high}, and {position} were read: the broker has lost its "
            "end (an unclean election of a leader?). Reset the source to its end to go on with "
            "what comes from now on, or to its start to take in all that the broker has once more."
        )
    if stream_id and mark.stream_id:
        found = f"is not the one that was read up to offset {position}"
    else:
        found = f"ends at offset {mark.high}, and {position} were read"
    return (
        f"{what} {found}: it was deleted and made again. Reset the source to its start to read all "
        "that the new one holds, which is taken as new, or to its end to go on with what comes "
        "from now on. What had not been read of the old one is gone."
    )
