"""Audits a source's ledger: for consistency, against the table, and against the broker."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from django.utils import timezone

from ingestion.connectors.base import Connector, Measured
from ingestion.connectors.registry import connect
from ingestion.errors import CannotRepeat, ConnectorError
from ingestion.landing import addresses
from ingestion.landing.addresses import Address
from ingestion.ledger import books, broker_comparison, counts
from ingestion.ledger.books import Finding, FindingKind
from ingestion.ledger.entries import Entry, disjoint, entries
from ingestion.models import Batch, BatchState, Source, StreamPartition


@dataclass(slots=True)
class PartitionAudit:
    """The audit of one partition in a time range; its entries cover offsets ``[start, end)``.

    ``received``: messages that were delivered. ``quarantined``: those that are in quarantine now.
    ``replayed`` and ``discarded``: those that have left it; ``inserted`` includes the replayed.
    ``filtered``: those that a filter has left out. ``found``: rows in table and quarantine, and
    filtered messages. ``at_broker``: messages that were read again from the
    broker, or None if that was not possible; ``unread`` says why. ``under_way``: batches that are
    announced and not done.
    """

    number: int
    start: int = 0
    end: int = 0
    batches: int = 0
    inserted: int = 0
    deduplicated: int = 0
    quarantined: int = 0
    filtered: int = 0
    replayed: int = 0
    discarded: int = 0
    found: int = 0
    at_broker: int | None = None
    unread: str = ""
    under_way: int = 0
    position: int | None = None
    high_watermark: int = 0
    findings: list[Finding] = field(default_factory=list)

    @property
    def received(self) -> int:
        landed = self.inserted + self.quarantined + self.filtered
        return landed + self.deduplicated + self.discarded

    @property
    def balances(self) -> bool:
        return not any(finding.is_fault for finding in self.findings)


def audit(
    source: Source, since: datetime, until: datetime | None = None, *, read_again: bool = True
) -> list[PartitionAudit]:
    """Audit the batches that were done in ``[since, until)``; ``until`` defaults to now.

    ``read_again``: also read every message from the broker again, if it keeps them. Raises
    ConnectorError if the broker does not answer, WarehouseError if the table can't be queried.
    """
    address = addresses.place_of(source.table)
    connector = connect(source.connection)
    try:
        marks = connector.measure([source])
        return [
            _Auditor(source, address, connector, partition, read_again).audit(since, until, marks)
            for partition in source.partitions.filter(retired_at=None).order_by("number")
        ]
    finally:
        connector.close()


@dataclass(frozen=True, slots=True)
class _Auditor:
    source: Source
    address: Address
    connector: Connector
    partition: StreamPartition
    read_again: bool

    def audit(self, since: datetime, until: datetime | None, marks: Measured) -> PartitionAudit:
        # The position is read first: a batch that ends in the meantime lies beyond it, and is not
        # reported as missing.
        self.partition.refresh_from_db()
        position = self.partition.position
        ledger = entries(self.partition, since, until or timezone.now())
        result = PartitionAudit(self.partition.number, position=position)
        result.high_watermark = _high(marks, self.source, self.partition)
        result.under_way = Batch.across_tenants.filter(
            partition=self.partition, state=BatchState.INTENT
        ).count()
        result.findings = books.read(ledger, position if until is None else None)
        if ledger:
            self._count(result, ledger)
        doubling = self.partition.resets.filter(
            doubles=True, incarnation=self.partition.incarnation
        )
        ranges = list(doubling.values_list("to_position", "from_position"))
        result.findings = [books.forgiven(finding, ranges) for finding in result.findings]
        return result

    def _count(self, result: PartitionAudit, ledger: Sequence[Entry]) -> None:
        """Count the entries, and compare them with the table and, if asked, with the broker."""
        result.start, result.end = ledger[0].start, max(entry.end for entry in ledger)
        result.batches = sum(entry.batches for entry in ledger)
        result.deduplicated = sum(entry.deduplicated for entry in ledger)
        held = counts.held(self.address, self.partition, result.start, result.end)
        result.found = held.rows
        result.quarantined, result.filtered = held.quarantined, held.filtered
        result.replayed = sum(entry.replayed for entry in ledger)
        result.discarded = sum(entry.discarded for entry in ledger)
        result.inserted = sum(entry.most for entry in ledger)
        result.inserted -= held.quarantined + held.filtered
        result.findings += self._against_table(disjoint(ledger))
        if held.rows > held.offsets:
            result.findings.append(self._doubled(result.start, result.end))
        if self.read_again:
            gaps = [(entry.start, entry.end) for entry in ledger if entry.gap]
            self._against_broker(result, gaps)

    def _against_table(self, ledger: Sequence[Entry]) -> Iterator[Finding]:
        """Find entries with fewer or other rows in ClickHouse, by halving the range.

        Quarantined rows are compared only if all entries have been counted by settling.
        """
        start, end = ledger[0].start, max(entry.end for entry in ledger)
        held = counts.held(self.address, self.partition, start, end)
        rows = sum(entry.most for entry in ledger)
        misfits = sum(entry.misfits for entry in ledger)
        is_counted = all(entry.is_counted and not entry.is_reread for entry in ledger)
        least = sum(entry.least for entry in ledger)
        is_split = held.quarantined == misfits and _is_as_filtered(ledger, held)
        if least <= held.rows <= rows and (is_split or not is_counted):
            return
        if len(ledger) > 1:
            middle = len(ledger) // 2
            yield from self._against_table(ledger[:middle])
            yield from self._against_table(ledger[middle:])
            return
        yield _difference(ledger[0], held)

    def _doubled(self, start: int, end: int) -> Finding:
        doubled = counts.doubled(self.address, self.partition, start, end)
        named = ", ".join(map(str, doubled))
        text = f"More than one row has the offsets {named} (the first ones)."
        return Finding(FindingKind.DOUBLED, doubled[0], doubled[-1] + 1, text)

    def _against_broker(self, result: PartitionAudit, gaps: list[tuple[int, int]]) -> None:
        start, end = result.start, result.end
        try:
            compared = broker_comparison.compare(
                self.connector, self.source, self.partition, self.address, start, end, gaps
            )
        except CannotRepeat as error:
            result.unread = str(error).rstrip(".")
        else:
            result.at_broker = compared.messages
            result.unread = compared.unread
            result.findings += compared.findings


def _is_as_filtered(ledger: Sequence[Entry], held: counts.Held) -> bool:
    """Whether filtered messages are as many as counted; a replay may have added some."""
    filtered = sum(entry.filtered for entry in ledger)
    return filtered <= held.filtered <= filtered + sum(entry.replayed for entry in ledger)


def _difference(entry: Entry, held: counts.Held) -> Finding:
    """The finding for one entry whose rows are not those that ClickHouse holds."""
    name = f"Batch {entry.token}" if entry.token else f"{entry.batches} folded batches"
    text = (
        f"{name}: the ledger has {entry.most - entry.misfits - entry.filtered} rows and "
        f"{entry.misfits} in quarantine, ClickHouse has {held.inserted} and {held.quarantined}."
    )
    if entry.filtered or held.filtered:
        text += f" Filtered: {entry.filtered} in the ledger, {held.filtered} in ClickHouse."
    kind = FindingKind.MISSING if held.rows < entry.most else FindingKind.UNKNOWN
    if held.rows <= entry.most:
        text += " A TTL or a mutation may have removed rows."
    return Finding(kind, entry.start, entry.end, text)


def _high(marks: Measured, source: Source, partition: StreamPartition) -> int:
    """The partition's high watermark, 0 if the stream no longer has it. Raises ConnectorError."""
    by_number = marks[source.pk]
    if isinstance(by_number, ConnectorError):
        raise by_number
    return by_number[partition.number].high if partition.number in by_number else 0
