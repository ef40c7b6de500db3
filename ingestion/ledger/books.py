"""Checks that ledger entries follow on each other. Asks neither ClickHouse nor the broker."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from ingestion.ledger.entries import Entry


class FindingKind(StrEnum):
    """The kinds of findings. A gap is no fault of the ledger, nor is a repetition on purpose."""

    GAP = "gap"
    REPEATED = "repeated"
    HOLE = "hole"
    OVERLAP = "overlap"
    MISSING = "missing"
    DOUBLED = "doubled"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Finding:
    """A finding about the offsets ``[start, end)`` of one partition, in words."""

    kind: FindingKind
    start: int
    end: int
    text: str

    @property
    def is_fault(self) -> bool:
        return self.kind not in (FindingKind.GAP, FindingKind.REPEATED)


def read(entries: Sequence[Entry], position: int | None) -> list[Finding]:
    """The gaps, holes and overlaps among entries that are sorted by their start.

    ``position``: where the entries must end; None if they may end anywhere.
    """
    gaps = [
        Finding(FindingKind.GAP, entry.start, entry.end, f"{entry.gap}.")
        for entry in entries
        if entry.gap
    ]
    return [*gaps, *_holes(entries, position), *_overlaps(entries)]


def _holes(entries: Sequence[Entry], position: int | None) -> Iterator[Finding]:
    if not entries:
        return
    reached = entries[0].start
    for entry in entries:
        if entry.start > reached:
            yield _hole(reached, entry.start)
        reached = max(reached, entry.end)
    if position is not None and reached < position:
        yield _hole(reached, position)


def _overlaps(entries: Sequence[Entry]) -> Iterator[Finding]:
    """Overlaps among entries, except gaps and ranges read again after a reset, which overlap."""
    reached: int | None = None
    for entry in entries:
        if entry.gap or entry.is_reread:
            continue
        if reached is not None and entry.start < reached:
            text = "The ledger has these offsets more than once."
            yield Finding(FindingKind.OVERLAP, entry.start, min(entry.end, reached), text)
        reached = entry.end if reached is None else max(reached, entry.end)


def forgiven(finding: Finding, doubling: Sequence[tuple[int, int]]) -> Finding:
    """The finding, as no fault if a reset has inserted its offsets again on purpose.

    ``doubling``: the ranges ``[start, end)`` of such resets.
    """
    if finding.kind not in (FindingKind.OVERLAP, FindingKind.DOUBLED):
        return finding
    if any(start <= finding.start and finding.end <= end for start, end in doubling):
        text = "A reset has inserted these offsets again, as it was asked to."
        return replace(finding, kind=FindingKind.REPEATED, text=text)
    return finding


def _hole(start: int, end: int) -> Finding:
    return Finding(FindingKind.HOLE, start, end, "The ledger has no entry for these offsets.")
