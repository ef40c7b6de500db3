"""Compares a range that is read again from the broker, offset by offset, with ClickHouse."""

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
from ingestion.quarantine import departures

#: Messages that are compared by one digest. If it differs, their offsets are compared one by one.
WINDOW = 500_000
#: The most offsets that a finding names.
NAMED = 10


@dataclass(slots=True)
class Compared:
    """The result. ``messages``: how many were read again; ``unread``: which were not, and why."""

    messages: int = 0
    unread: str = ""
    findings: list[Finding] = field(default_factory=list)


def compare(
    connector: Connector,
    source: Source,
    partition: StreamPartition,
    address: Address,
    start: int,
    end: int,
    gaps: Sequence[tuple[int, int]] = (),
) -> Compared:
    """Compare ``[start, end)``; messages within ``gaps`` may be missing in the table.

    Raises CannotRepeat, ConnectorError, WarehouseError.
    """
    if source.kind not in ConnectionKind.values:
        raise CannotRepeat("the spool keeps events only until they have landed")
    compared = Compared()
    try:
        chunks = connector.repeat(source, partition.number, start, end)
        first = next(chunks, None)
    except OffsetsGone as gone:
        compared.unread = f"the broker has deleted the offsets below {gone.low}"
        start = min(max(gone.low, start), end)
        if start == end:
            return compared
        chunks = connector.repeat(source, partition.number, start, end)
        first = next(chunks, None)
    for window in _windows(first, chunks, start, end):
        compared.messages += window.digest.count
        if counts.digest(address, partition, window.start, window.end) != window.digest:
            compared.findings += _differences(address, partition, window, gaps)
    return compared


@dataclass(slots=True)
class _Window:
    start: int
    end: int
    digest: Digest = field(default_factory=Digest)
    chunks: list[Chunk] = field(default_factory=list)

    def add(self, chunk: Chunk) -> None:
        self.chunks.append(chunk)
        self.end = chunk.to_offset
        digest = counts.digest_of(chunk.rows["_offset"])
        self.digest = counts.together(self.digest, digest)


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
    address: Address, partition: StreamPartition, window: _Window, gaps: Sequence[tuple[int, int]]
) -> Iterator[Finding]:
    sent = {offset for chunk in window.chunks for offset in chunk.rows["_offset"].to_pylist()}
    held = counts.offsets(address, partition, window.start, window.end)
    absent = sent - held - departures.discarded(partition, window.start, window.end)
    if missing := sorted(offset for offset in absent if not _lies_in(offset, gaps)):
        yield _finding(FindingKind.MISSING, missing, "The broker has them, ClickHouse does not")
    if unknown := sorted(held - sent):
        yield _finding(FindingKind.UNKNOWN, unknown, "ClickHouse has them, the broker does not")


def _lies_in(offset: int, gaps: Sequence[tuple[int, int]]) -> bool:
    return any(start <= offset < end for start, end in gaps)


def _finding(kind: FindingKind, offsets: list[int], text: str) -> Finding:
    named = ", ".join(map(str, offsets[:NAMED])) + (" …" if len(offsets) > NAMED else "")
    number = len(offsets)
    return Finding(kind, offsets[0], offsets[-1] + 1, f"{text}: {number} offsets ({named}).")
