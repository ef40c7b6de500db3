"""The entries of one partition's ledger: batches, folded batches, and gaps."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from operator import attrgetter

from django.db.models import Q

from ingestion.models import Batch, BatchState, FoldedBatches, Gap, StreamPartition
from ingestion.quarantine import departures


@dataclass(frozen=True, slots=True)
class Entry:
    """The ledger's entry for the offsets ``[start, end)``: one or several batches, or a gap.

    ``gap``: why no batch has these offsets; otherwise empty. ``rows``: rows that landed, of which
    ``quarantined`` went to the quarantine and ``filtered`` were left out by the source's filter.
    ``is_counted``: settling has counted these two.
    ``is_reread``: read again after a reset, so that only missing rows were inserted. ``replayed``
    and ``discarded``: messages that have left the quarantine since, into the table or for good.
    """

    start: int
    end: int
    rows: int = 0
    deduplicated: int = 0
    quarantined: int = 0
    filtered: int = 0
    batches: int = 0
    token: str = ""
    gap: str = ""
    is_counted: bool = True
    is_reread: bool = False
    replayed: int = 0
    discarded: int = 0

    @property
    def most(self) -> int:
        """The most rows that ClickHouse may hold."""
        return self.rows - self.discarded

    @property
    def least(self) -> int:
        """The fewest rows that ClickHouse must hold.

        0 for a range that was read again: rows of its earlier entries may have been lost before.
        """
        return 0 if self.is_reread else self.most

    @property
    def misfits(self) -> int:
        """How many of its messages are still in quarantine."""
        return self.quarantined - self.replayed - self.discarded


def entries(partition: StreamPartition, since: datetime, until: datetime) -> list[Entry]:
    """The entries of batches that were done, and gaps noted, in ``[since, until)``, by offset.

    Covers only the partition's present incarnation, because the broker no longer has messages of
    earlier ones. If a range was read again in that time, its earlier entries are included, however
    old they are. Intents are not entries.
    """
    present = Q(incarnation=partition.incarnation)
    during = present & Q(done_at__gte=since, done_at__lt=until)
    # A folded hour that lies only partly within the time is included as a whole.
    hours = present & Q(done_at__gte=since, opened_at__lt=until)
    result = [*_batches(partition, during), *_folded(partition, hours)]
    if reread := [entry for entry in result if entry.is_reread]:
        start, end = min(entry.start for entry in reread), max(entry.end for entry in reread)
        same = present & Q(from_offset__lt=end, to_offset__gt=start)
        result = [*_batches(partition, during | same), *_folded(partition, hours | same)]
    gaps = Gap.across_tenants.filter(
        present, partition=partition, noted_at__gte=since, noted_at__lt=until
    )
    result += [Entry(gap.from_offset, gap.to_offset, gap=gap.get_reason_display()) for gap in gaps]
    return _with_departures(partition, sorted(result, key=attrgetter("start", "end")))


def _with_departures(partition: StreamPartition, ledger: list[Entry]) -> list[Entry]:
    """The entries with what has left the quarantine since; each departure is of one batch."""
    if not ledger:
        return ledger
    starts = [entry.start for entry in ledger]
    for departure in departures.between(partition, starts[0], max(entry.end for entry in ledger)):
        # The last entry that begins before it, unless that is a gap or ends before it.
        for place in range(bisect_right(starts, departure.from_offset) - 1, -1, -1):
            entry = ledger[place]
            if not entry.gap and entry.end >= departure.to_offset:
                left = len(departure.offsets)
                ledger[place] = (
                    replace(entry, discarded=entry.discarded + left)
                    if departure.is_discard
                    else replace(entry, replayed=entry.replayed + left)
                )
                break
    return ledger


def _batches(partition: StreamPartition, chosen: Q) -> list[Entry]:
    done = Batch.across_tenants.filter(chosen, partition=partition).exclude(state=BatchState.INTENT)
    return [
        Entry(
            start=batch.from_offset,
            end=batch.to_offset,
            rows=batch.rows,
            deduplicated=batch.deduplicated,
            quarantined=batch.quarantined,
            filtered=batch.filtered,
            batches=1,
            token=str(batch.token),
            is_counted=batch.state == BatchState.SETTLED,
            is_reread=batch.is_reread,
        )
        for batch in done
    ]


def _folded(partition: StreamPartition, chosen: Q) -> list[Entry]:
    return [
        Entry(
            start=folded.from_offset,
            end=folded.to_offset,
            rows=folded.rows,
            deduplicated=folded.deduplicated,
            quarantined=folded.quarantined,
            filtered=folded.filtered,
            batches=folded.batches,
            is_reread=folded.is_reread,
        )
        for folded in FoldedBatches.across_tenants.filter(chosen, partition=partition)
    ]


def disjoint(ledger: Sequence[Entry]) -> list[Entry]:
    """The entries with overlapping ones merged, so that each one's rows can be counted by offset.

    ``ledger`` is sorted by ``start``.
    """
    groups: list[list[Entry]] = []
    reached = None
    for entry in ledger:
        if reached is None or entry.start >= reached:
            groups.append([])
        groups[-1].append(entry)
        reached = entry.end if reached is None else max(reached, entry.end)
    return [group[0] if len(group) == 1 else _merged(group) for group in groups]


def _merged(group: Iterable[Entry]) -> Entry:
    overlapping = list(group)
    return Entry(
        start=overlapping[0].start,
        end=max(entry.end for entry in overlapping),
        rows=sum(entry.rows for entry in overlapping),
        deduplicated=sum(entry.deduplicated for entry in overlapping),
        quarantined=sum(entry.quarantined for entry in overlapping),
        filtered=sum(entry.filtered for entry in overlapping),
        batches=sum(entry.batches for entry in overlapping),
        is_counted=all(entry.is_counted for entry in overlapping),
        is_reread=any(entry.is_reread for entry in overlapping),
        replayed=sum(entry.replayed for entry in overlapping),
        discarded=sum(entry.discarded for entry in overlapping),
    )
