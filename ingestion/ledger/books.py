"""Do the entries follow on each other? A hole and an overlap are found without asking anyone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from ingestion.ledger.entries import Entry


class FindingKind(StrEnum):
    """What can be found. A gap is no fault of the books, nor what was repeated on purpose."""

    GAP = "gap"
    REPEATED = "repeated"
    HOLE = "hole"
    OVERLAP = "overlap"
    MISSING = "missing"
    DOUBLED = "doubled"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something about the offsets ``[start, end)`` of one partition, in words."""

    kind: FindingKind
    start: int
    end: int
    text: str

    @property
    def is_fault(self) -> bool:
        return self.kind not in (FindingKind.GAP, FindingKind.REPEATED)


def read(found: Sequence[Entry], position: int | None) -> list[Finding]:
    """Gaps, holes and overlaps. ``position`` is where the entries must end; None: anywhere."""
    findings = [
        Finding(FindingKind.GAP, one.start, one.end, f"{one.gap}.") for one in found if one.gap
    ]
    return [*findings, *_holes(found, position), *_overlaps(found)]


def _holes(found: Sequence[Entry], position: int | None) -> Iterator[Finding]:
    if not found:
        return
    reached = found[0].start
    for one in found:
        if one.start > reached:
            yield _hole(reached, one.start)
        reached = max(reached, one.end)
    if position is not None and reached < position:
        yield _hole(reached, position)


def _overlaps(found: Sequence[Entry]) -> Iterator[Finding]:
    """What was read again after a reset overlaps by its nature."""
    reached: int | None = None
    for one in found:
        if one.gap or one.is_reread:
            continue
        if reached is not None and one.start < reached:
            text = "The ledger has these more than once."
            yield Finding(FindingKind.OVERLAP, one.start, min(one.end, reached), text)
        reached = one.end if reached is None else max(reached, one.end)


def forgiven(finding: Finding, doubling: Sequence[tuple[int, int]]) -> Finding:
    """A finding within what a reset was told to insert again is no fault."""
    if finding.kind not in (FindingKind.OVERLAP, FindingKind.DOUBLED):
        return finding
    if any(start <= finding.start and finding.end <= end for start, end in doubling):
        text = "Inserted again, as a reset was told to."
        return replace(finding, kind=FindingKind.REPEATED, text=text)
    return finding


def _hole(start: int, end: int) -> Finding:
    return Finding(FindingKind.HOLE, start, end, "The ledger has no entry for these.")
