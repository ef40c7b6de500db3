"""Reading a range again from the broker, and comparing offset by offset with what is there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from ingestion.connectors.base import Connector
from ingestion.connectors.chunk import Chunk
from ingestion.errors import CannotRepeat, OffsetsGone
from ingestion.landing.addresses import Address
from ingestion.ledger import counts
from ingestion.ledger.books import Finding, FindingKind
from ingestion.ledger.counts import Digest
from ingestion.models import ConnectionKind, Source, StreamPartition

#: Messages that are compared at once, and that a difference is looked for among.
WINDOW = 500_000
#: Offsets that a finding names.
NAMED = 10


@dataclass(slots=True)
class Compared:
    """``messages`` were read again; ``unread`` says which could not be, and why."""

    messages: int = 0
    unread: str = ""
    findings: list[Finding] = field(default_factory=list)


def compare(
    connector: Connector,
    source: Source,
    partition: StreamPartition,
    at: Address,
    start: int,
    end: int,
    gaps: Sequence[tuple[int, int]] = (),
) -> Compared:
    """Compare ``[start, end)``; what lies in ``gaps`` need not be in the table.

    Raises CannotRepeat, ConnectorError, WarehouseError.
    """
    if source.kind not in ConnectionKind.values:
        raise CannotRepeat("the spool keeps events only until they have landed")
    made = Compared()
    try:
        chunks = connector.repeat(source, partition.number, start, end)
        first = next(chunks, None)
    except OffsetsGone as gone:
        made.unread = f"the broker has deleted the offsets below {gone.low}"
        start = min(max(gone.low, start), end)
        if start == end:
            return made
        chunks = connector.repeat(source, partition.number, start, end)
        first = next(chunks, None)
    for window in _windows(first, chunks, start, end):
        made.messages += window.digest.count
        if counts.digest(at, partition, window.start, window.end) != window.digest:
            made.findings += _differences(at, partition, window, gaps)
    return made


@dataclass(slots=True)
class _Window:
    start: int
    end: int
    digest: Digest = field(default_factory=Digest)
    chunks: list[Chunk] = field(default_factory=list)

    def add(self, chunk: Chunk) -> None:
        self.chunks.append(chunk)
        self.end = chunk.to_offset
        found = counts.digest_of(chunk.rows["_offset"])
        self.digest = counts.together(self.digest, found)


def _windows(first: Chunk | None, rest: Iterator[Chunk], start: int, end: int) -> Iterator[_Window]:
    window = _Window(start, start)
    if first is not None:
        window.add(first)
    for chunk in rest:
        window.add(chunk)
        if window.digest.count >= WINDOW:
            yield window
            window = _Window(window.end, window.end)
    window.end = end
    yield window


def _differences(
    at: Address, partition: StreamPartition, window: _Window, gaps: Sequence[tuple[int, int]]
) -> Iterator[Finding]:
    sent = {one for chunk in window.chunks for one in chunk.rows["_offset"].to_pylist()}
    there = counts.offsets(at, partition, window.start, window.end)
    if missing := sorted(one for one in sent - there if not _lies_in(one, gaps)):
        yield _finding(FindingKind.MISSING, missing, "The broker has them, ClickHouse has not")
    if unknown := sorted(there - sent):
        yield _finding(FindingKind.UNKNOWN, unknown, "ClickHouse has them, the broker has not")


def _lies_in(offset: int, gaps: Sequence[tuple[int, int]]) -> bool:
    return any(start <= offset < end for start, end in gaps)


def _finding(kind: FindingKind, found: list[int], text: str) -> Finding:
    named = ", ".join(map(str, found[:NAMED])) + (" …" if len(found) > NAMED else "")
    return Finding(kind, found[0], found[-1] + 1, f"{text}: {len(found)} offsets ({named}).")
