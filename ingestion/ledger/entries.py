"""The entries of one partition's ledger: batches, folded batches, and gaps."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter

from django.db.models import Q

from ingestion.models import Batch, BatchState, FoldedBatches, Gap, StreamPartition


@dataclass(frozen=True, slots=True)
class Entry:
    """Offsets ``[start, end)``: ``batches`` of them as one, or, with ``gap``, why there are none.

    ``rows`` are in the table or, ``quarantined`` of them, in the quarantine. ``is_counted``: what
    is quarantined was counted, which settling does. ``is_reread``: after a reset, when only what
    was missing was inserted.
    """

    start: int
    end: int
    rows: int = 0
    deduplicated: int = 0
    quarantined: int = 0
    batches: int = 0
    token: str = ""
    gap: str = ""
    is_counted: bool = True
    is_reread: bool = False

    @property
    def least(self) -> int:
        """Rows that must be there; what was read again may have been lost before."""
        return 0 if self.is_reread else self.rows


def entries(partition: StreamPartition, since: datetime, until: datetime) -> list[Entry]:
    """What was done in ``[since, until)``, in the order of offsets; intents are not among it.

    Of the partition's present incarnation alone: the broker no longer has what was before it.

    Where something was read again in that time, with what it was before, whenever that was.
    """
    of = Q(incarnation=partition.incarnation)
    during = of & Q(done_at__gte=since, done_at__lt=until)
    # An hour that begins or ends outside of the time asked for is taken as a whole.
    hours = of & Q(done_at__gte=since, opened_at__lt=until)
    found = [*_batches(partition, during), *_folded(partition, hours)]
    if again := [one for one in found if one.is_reread]:
        start, end = min(one.start for one in again), max(one.end for one in again)
        same = of & Q(from_offset__lt=end, to_offset__gt=start)
        found = [*_batches(partition, during | same), *_folded(partition, hours | same)]
    gaps = Gap.across_tenants.filter(
        of, partition=partition, noted_at__gte=since, noted_at__lt=until
    )
    found += [Entry(one.from_offset, one.to_offset, gap=one.get_reason_display()) for one in gaps]
    return sorted(found, key=attrgetter("start", "end"))


def _batches(partition: StreamPartition, chosen: Q) -> list[Entry]:
    done = Batch.across_tenants.filter(chosen, partition=partition).exclude(state=BatchState.INTENT)
    return [
        Entry(
            start=one.from_offset,
            end=one.to_offset,
            rows=one.rows,
            deduplicated=one.deduplicated,
            quarantined=one.quarantined,
            batches=1,
            token=str(one.token),
            is_counted=one.state == BatchState.SETTLED,
            is_reread=one.is_reread,
        )
        for one in done
    ]


def _folded(partition: StreamPartition, chosen: Q) -> list[Entry]:
    return [
        Entry(
            start=one.from_offset,
            end=one.to_offset,
            rows=one.rows,
            deduplicated=one.deduplicated,
            quarantined=one.quarantined,
            batches=one.batches,
            is_reread=one.is_reread,
        )
        for one in FoldedBatches.across_tenants.filter(chosen, partition=partition)
    ]


def disjoint(found: Sequence[Entry]) -> list[Entry]:
    """The entries, those that overlap as one, so that rows can be counted for each by itself."""
    made: list[list[Entry]] = []
    reached = None
    for one in found:
        if reached is None or one.start >= reached:
            made.append([])
        made[-1].append(one)
        reached = one.end if reached is None else max(reached, one.end)
    return [group[0] if len(group) == 1 else _together(group) for group in made]


def _together(group: Iterable[Entry]) -> Entry:
    parts = list(group)
    is_reread = any(one.is_reread for one in parts)
    return Entry(
        start=parts[0].start,
        end=max(one.end for one in parts),
        rows=sum(one.rows for one in parts),
        deduplicated=sum(one.deduplicated for one in parts),
        quarantined=sum(one.quarantined for one in parts),
        batches=sum(one.batches for one in parts),
        is_counted=all(one.is_counted for one in parts),
        is_reread=is_reread,
    )
