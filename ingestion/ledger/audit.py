"""Proving a source's ledger: by itself, against the table, and against the broker."""

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
    """One partition in a time range. ``start`` and ``end`` bound the offsets of its entries.

    ``received``: messages delivered. ``found`` counts the rows in table and quarantine;
    ``at_broker`` the messages read again, None where that could not be (``unread`` says why).
    ``under_way``: batches that are announced and not done.
    """

    number: int
    start: int = 0
    end: int = 0
    batches: int = 0
    inserted: int = 0
    deduplicated: int = 0
    quarantined: int = 0
    found: int = 0
    at_broker: int | None = None
    unread: str = ""
    under_way: int = 0
    position: int | None = None
    high_watermark: int = 0
    findings: list[Finding] = field(default_factory=list)

    @property
    def received(self) -> int:
        return self.inserted + self.deduplicated + self.quarantined

    @property
    def balances(self) -> bool:
        return not any(one.is_fault for one in self.findings)


def audit(
    source: Source, since: datetime, until: datetime | None = None, *, read_again: bool = True
) -> list[PartitionAudit]:
    """Audit what was done in ``[since, until)``; ``until`` defaults to now.

    With ``read_again`` the broker is asked for every message once more, where it keeps them.
    Raises ConnectorError where the broker does not answer, WarehouseError where the table can't
    be asked.
    """
    at = addresses.place_of(source.table)
    connector = connect(source.connection)
    try:
        marks = connector.measure([source])
        return [
            _Auditor(source, at, connector, one, read_again).audit(since, until, marks)
            for one in source.partitions.filter(retired_at=None).order_by("number")
        ]
    finally:
        connector.close()


@dataclass(frozen=True, slots=True)
class _Auditor:
    source: Source
    at: Address
    connector: Connector
    partition: StreamPartition
    read_again: bool

    def audit(self, since: datetime, until: datetime | None, marks: Measured) -> PartitionAudit:
        # The position first: a batch that ends meanwhile lies beyond it, and is not missed.
        self.partition.refresh_from_db()
        position = self.partition.position
        found = entries(self.partition, since, until or timezone.now())
        made = PartitionAudit(self.partition.number, position=position)
        made.high_watermark = _high(marks, self.source, self.partition)
        made.under_way = Batch.across_tenants.filter(
            partition=self.partition, state=BatchState.INTENT
        ).count()
        made.findings = books.read(found, position if until is None else None)
        if found:
            self._count(made, found)
        doubling = self.partition.resets.filter(
            doubles=True, incarnation=self.partition.incarnation
        )
        ranges = list(doubling.values_list("to_position", "from_position"))
        made.findings = [books.forgiven(one, ranges) for one in made.findings]
        return made

    def _count(self, made: PartitionAudit, found: Sequence[Entry]) -> None:
        made.start, made.end = found[0].start, max(one.end for one in found)
        made.batches = sum(one.batches for one in found)
        made.deduplicated = sum(one.deduplicated for one in found)
        held = counts.held(self.at, self.partition, made.start, made.end)
        made.found = held.rows
        made.quarantined = held.quarantined
        made.inserted = sum(one.rows for one in found) - held.quarantined
        made.findings += self._against_table(disjoint(found))
        if held.rows > held.offsets:
            made.findings.append(self._doubled(made.start, made.end))
        if self.read_again:
            self._against_broker(made, [(one.start, one.end) for one in found if one.gap])

    def _against_table(self, found: Sequence[Entry]) -> Iterator[Finding]:
        """Entries whose rows are not there, or not only they: found by halving."""
        start, end = found[0].start, max(one.end for one in found)
        there = counts.held(self.at, self.partition, start, end)
        rows = sum(one.rows for one in found)
        misfits = sum(one.quarantined for one in found)
        is_counted = all(one.is_counted and not one.is_reread for one in found)
        least = sum(one.least for one in found)
        if least <= there.rows <= rows and (there.quarantined == misfits or not is_counted):
            return
        if len(found) > 1:
            middle = len(found) // 2
            yield from self._against_table(found[:middle])
            yield from self._against_table(found[middle:])
            return
        yield _difference(found[0], there)

    def _doubled(self, start: int, end: int) -> Finding:
        twice = counts.doubled(self.at, self.partition, start, end)
        text = f"More than one row has the offsets {', '.join(map(str, twice))} (the first ones)."
        return Finding(FindingKind.DOUBLED, twice[0], twice[-1] + 1, text)

    def _against_broker(self, made: PartitionAudit, gaps: list[tuple[int, int]]) -> None:
        try:
            compared = broker_comparison.compare(
                self.connector, self.source, self.partition, self.at, made.start, made.end, gaps
            )
        except CannotRepeat as error:
            made.unread = str(error).rstrip(".")
        else:
            made.at_broker = compared.messages
            made.unread = compared.unread
            made.findings += compared.findings


def _difference(entry: Entry, there: counts.Held) -> Finding:
    name = f"Batch {entry.token}" if entry.token else f"{entry.batches} folded batches"
    text = (
        f"{name}: {entry.rows - entry.quarantined} rows and {entry.quarantined} in quarantine by "
        f"the ledger, {there.inserted} and {there.quarantined} in ClickHouse."
    )
    kind = FindingKind.MISSING if there.rows < entry.rows else FindingKind.UNKNOWN
    if there.rows <= entry.rows:
        text += " A TTL may have removed rows, or a mutation."
    return Finding(kind, entry.start, entry.end, text)


def _high(marks: Measured, source: Source, partition: StreamPartition) -> int:
    found = marks[source.pk]
    if isinstance(found, ConnectorError):
        raise found
    return found[partition.number].high if partition.number in found else 0
