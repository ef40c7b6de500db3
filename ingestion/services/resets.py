"""Resets a source's positions, with a preview of what would be read again or skipped."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from django.db import transaction

from ingestion.batches.batch import Lease
from ingestion.connectors.base import Connector, Watermarks
from ingestion.connectors.registry import connect
from ingestion.consume import discovery
from ingestion.consume.recovery import open_batches, stream_identity
from ingestion.errors import CannotRepeat, ConnectorError, IngestionError
from ingestion.landing import addresses
from ingestion.models import Gap, GapReason, Reset, Source, StreamPartition
from ingestion.services import holding

#: Seconds within which a worker releases a source that was paused.
PATIENCE = holding.PATIENCE
_REASON = "Its position is being moved."


class CannotReset(IngestionError):
    """The positions can't be moved there; the message says why, and what to do."""


class Where(StrEnum):
    START = "start"
    END = "end"
    OFFSET = "offset"
    TIME = "time"


@dataclass(frozen=True, slots=True)
class ResetTarget:
    """Where reading is to continue: ``offset`` is for OFFSET, ``time`` (aware) for TIME.

    ``partition`` limits the reset to one partition; None means all. OFFSET needs a partition.
    """

    where: Where
    offset: int | None = None
    time: datetime | None = None
    partition: int | None = None


@dataclass(frozen=True, slots=True)
class Move:
    """What a reset does to one partition. It counts offsets; not every offset holds a message.

    ``position`` is None if nothing was read yet. ``is_new``: the stream was deleted and created
    again, so its offsets can't be compared with those in the table; ``stream_id`` is the new one.
    """

    number: int
    position: int | None
    to: int
    low: int
    high: int
    is_new: bool = False
    stream_id: str = ""

    @property
    def read_again(self) -> int:
        return 0 if self.position is None or self.is_new else max(0, self.position - self.to)

    @property
    def skipped(self) -> int:
        return max(0, self.to - self._from)

    @property
    def _from(self) -> int:
        if self.position is None or self.is_new:
            return self.low
        return max(self.position, self.low)


def preview(source: Source, target: ResetTarget) -> list[Move]:
    """What ``reset`` would do; changes nothing. Raises CannotReset, ConnectorError."""
    connector = connect(source.connection)
    try:
        return _moves(connector, source, target)
    finally:
        connector.close()


def reset(source: Source, target: ResetTarget, *, doubles: bool = False) -> list[Move]:
    """Move the positions and return the moves; the source is paused meanwhile.

    Messages that are read again and are already in the table are not inserted again, unless
    ``doubles`` is set. Raises CannotReset, ConnectorError and WarehouseError; then nothing was
    moved.
    """
    connector = connect(source.connection)
    try:
        if not source.partitions.exists():
            # No worker has seen the source yet, and only partitions that are known are held below.
            discovery.store(connector, [source])
        with holding.held([source], _REASON, patience=PATIENCE) as hold:
            _end_batches(connector, source, hold.leases)
            moves = _moves(connector, source, target)
            _apply(source, hold.leases, moves, doubles=doubles)
            if target.partition is None:
                stream_identity.retire(source, [one.number for one in moves])
            return moves
    except holding.StillRead as error:
        raise CannotReset(str(error)) from error
    finally:
        connector.close()


def _measured(connector: Connector, source: Source) -> Mapping[int, Watermarks]:
    marks = connector.measure([source])[source.pk]
    if isinstance(marks, ConnectorError):
        raise marks
    return marks


def _end_batches(connector: Connector, source: Source, leases: list[Lease]) -> None:
    """Close all open batches; those of a stream that is gone with what the table has of them."""
    at, marks = addresses.place_of(source.table), _measured(connector, source)
    for held in leases:
        mark = marks.get(held.number)
        if mark is None or stream_identity.is_another(held.stream_id, held.position, mark):
            open_batches.abandon(source, at, held)
        else:
            open_batches.recover(connector, source, held)


def _moves(connector: Connector, source: Source, target: ResetTarget) -> list[Move]:
    marks = _measured(connector, source)
    discovery.store(connector, [source])
    partitions = [
        partition
        for partition in source.partitions.order_by("number")
        if partition.number in marks and target.partition in (None, partition.number)
    ]
    if not partitions:
        msg = f"{source} has no partition {target.partition}. Its partitions: {_numbers(marks)}."
        raise CannotReset(msg)
    if source.kind == "http":
        # Events that have landed are no longer in the spool.
        marks = {0: Watermarks(partitions[0].position or 0, marks[0].high)}
    ends = _targets(connector, source, target, partitions, dict(marks))
    return [_planned(partition, ends[partition.number], marks) for partition in partitions]


def _planned(partition: StreamPartition, to: int, marks: Mapping[int, Watermarks]) -> Move:
    mark = marks[partition.number]
    return Move(
        partition.number,
        partition.position,
        to,
        mark.low,
        mark.high,
        stream_identity.is_another(partition.stream_id, partition.position, mark),
        mark.stream_id,
    )


def _targets(
    connector: Connector,
    source: Source,
    target: ResetTarget,
    partitions: list[StreamPartition],
    marks: dict[int, Watermarks],
) -> dict[int, int]:
    numbers = [partition.number for partition in partitions]
    try:
        # Called even if no time is needed: a queue, which has no offsets, refuses here.
        at_time = connector.offsets_at(source, numbers, target.time or _EPOCH)
    except CannotRepeat as error:
        raise CannotReset(f"{error} To empty the queue, purge it at the broker.") from error
    if target.where is Where.START:
        return {number: marks[number].low for number in numbers}
    if target.where is Where.END:
        return {number: marks[number].high for number in numbers}
    if target.where is Where.TIME:
        return {
            number: min(max(at_time[number], marks[number].low), marks[number].high)
            for number in numbers
        }
    return {number: _checked(target, number, marks[number]) for number in numbers}


_EPOCH = datetime.fromisoformat("1970-01-01T00:00:01+00:00")


def _checked(target: ResetTarget, number: int, mark: Watermarks) -> int:
    if target.partition is None:
        raise CannotReset("An offset belongs to one partition. Give the partition too.")
    if target.offset is None or not mark.low <= target.offset <= mark.high:
        msg = (
            f"Partition {number} has the offsets {mark.low} to {mark.high}; {target.offset} is "
            "not among them."
        )
        raise CannotReset(msg)
    return target.offset


def _numbers(marks: object) -> str:
    return ", ".join(map(str, sorted(marks)))  # type: ignore[call-overload]


def _apply(source: Source, leases: list[Lease], moves: list[Move], *, doubles: bool) -> None:
    by_number = {lease.number: lease for lease in leases}
    with transaction.atomic():
        for move in moves:
            held = by_number.get(move.number)
            if held is None:
                msg = f"Partition {move.number} of {source} is new. Try again in a moment."
                raise CannotReset(msg)
            partition = StreamPartition.across_tenants.select_for_update().get(pk=held.partition_id)
            if (partition.lease_owner, partition.epoch) != (held.owner, held.epoch):
                raise CannotReset(f"A worker has taken {source}. Try again in a moment.")
            _move(partition, move, doubles=doubles)


def _move(partition: StreamPartition, move: Move, *, doubles: bool) -> None:
    if move.is_new:
        stream_identity.begin(partition, move.stream_id, move.to)
    elif doubles:
        partition.reread_until = 0
    else:
        partition.reread_until = max(partition.reread_until, move.position or 0)
    before = move.low if move.position is None or move.is_new else move.position
    if move.skipped:
        Gap.objects.create(
            partition=partition,
            incarnation=partition.incarnation,
            from_offset=move.to - move.skipped,
            to_offset=move.to,
            reason=GapReason.SKIPPED,
        )
    Reset.objects.create(
        partition=partition,
        incarnation=partition.incarnation,
        from_position=before,
        to_position=move.to,
        doubles=doubles and not move.is_new,
    )
    partition.position = move.to
    partition.save(update_fields=["position", "reread_until"])
